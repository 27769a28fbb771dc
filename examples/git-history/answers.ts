// The questions that are put to the store, each with the time its answer took.
import { clock, type RecordedEvent, type Store } from 'tetralog'
import type { FileEvent } from './commit-events.js'
import { bytes, count, counted, day, duration, printable, table } from './display.js'

type FileChange = RecordedEvent<FileEvent>

const linesShown = 5
const yearMs = 365 * 24 * 60 * 60 * 1000

export async function answerQuestions(store: Store, signal: AbortSignal): Promise<void> {
  console.log('\nWhat the store says')
  const { head } = await answer('How much is there?', () => store.stats(), {
    lines: (stats) => [
      `${counted(stats.events, 'event')} of ${counted(stats.entities, 'file')}, ` +
        `${bytes(stats.bytes)} in ${counted(stats.segments, 'segment')}`,
    ],
  })
  if (head < 0) return

  const file = await answer('Which file changed most often?', () => busiestFile(store, signal), {
    lines: ({ entity, version }) => [`${printable(entity)}, ${counted(version + 1, 'change')}`],
  })
  const history = await answer(
    'What is its history?',
    () => store.stream<FileEvent>(file.entity, { signal }).toArray(),
    { lines: historyLines },
  )

  const span = lastYearOf(history)
  const scope = topOf(file.entity)
  const where = scope === '*' ? 'anywhere' : `below ${printable(scope.slice(0, -1))}`
  await answer(
    `What happened ${where} from ${day(span.since)} to ${day(span.until)}?`,
    () => tally(store, scope, span, signal),
    { lines: tallyLines },
  )
  await answer(
    'What is the latest change of that file?',
    () => store.latest<FileEvent>(file.entity),
    {
      lines: (latest) => changeLines(latest === undefined ? [] : [latest]),
    },
  )
  await answer('Does every hash chain hold?', () => store.verify({ signal }), {
    lines: (report) => [
      report.ok
        ? `yes: ${counted(report.events, 'event')} of ${counted(report.entities, 'chain')} verified`
        : `NO: ${counted(report.damage.length, 'damaged place')}`,
      ...report.damage.slice(0, linesShown).map((place) => printable(place.reason)),
    ],
  })
}

async function answer<T>(
  question: string,
  ask: () => Promise<T>,
  { lines }: { lines: (result: T) => readonly string[] },
): Promise<T> {
  const started = performance.now()
  const result = await ask()
  const time = duration(performance.now() - started)
  console.log(`\n  ${question.padEnd(68)}  ${time.padStart(9)}`)
  for (const line of lines(result)) console.log(`    ${line}`)
  return result
}

async function busiestFile(store: Store, signal: AbortSignal) {
  let busiest = { entity: '', version: -1 }
  for await (const files of store.entities({ signal }).batches()) {
    for (const file of files) if (file.version > busiest.version) busiest = file
  }
  return busiest
}

function historyLines(history: readonly FileChange[]): string[] {
  const shown = history.length <= linesShown ? history : history.slice(-linesShown + 1)
  const first = history.length > shown.length ? history.slice(0, 1) : []
  const left = history.length - shown.length - first.length
  const rest = left > 0 ? [`… ${count(left)} more …`] : []
  const lines = changeLines([...first, ...shown])
  return [...lines.slice(0, first.length), ...rest, ...lines.slice(first.length)]
}

function changeLines(changes: readonly FileChange[]): string[] {
  return table(
    changes.map(({ fact, payload, clock: time }) => [
      day(clock.toDate(time)),
      payload.commit.slice(0, 10),
      fact,
      payload.added === null ? 'binary' : `+${payload.added} -${payload.deleted}`,
      printable(payload.author, 20),
      printable(payload.subject, 50),
    ]),
  )
}

interface Span {
  readonly since: Date
  readonly until: Date
}

/** The year that ends with the newest of the changes. */
function lastYearOf(changes: readonly FileChange[]): Span {
  const newest = Math.max(...changes.map((change) => clock.toDate(change.clock).getTime()))
  return { since: new Date(Math.max(newest - yearMs, 0)), until: new Date(newest) }
}

function topOf(file: string): string {
  const end = file.indexOf('/')
  return end === -1 ? '*' : `${file.slice(0, end)}/*`
}

interface Tally {
  readonly facts: Map<string, number>
  readonly commits: Set<string>
  readonly files: Set<string>
}

async function tally(store: Store, scope: string, span: Span, signal: AbortSignal) {
  const result: Tally = { facts: new Map(), commits: new Set(), files: new Set() }
  const changes = store.query<FileEvent>().scope(scope).since(span.since).until(span.until)
  for await (const events of changes.signal(signal).batches()) {
    for (const { fact, entity, payload } of events) {
      result.facts.set(fact, (result.facts.get(fact) ?? 0) + 1)
      result.commits.add(payload.commit)
      result.files.add(entity)
    }
  }
  return result
}

function tallyLines({ facts, commits, files }: Tally): string[] {
  const rows = [...facts].sort((a, b) => b[1] - a[1]).map(([fact, number]) => [number, fact])
  const sum = `${counted(commits.size, 'commit')} touched ${counted(files.size, 'file')}:`
  return [sum, ...table(rows)]
}
