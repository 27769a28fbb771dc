// The main job: `npm start [-- path/to/any/git/repository]`.
import { fileURLToPath } from 'node:url'
import { Store, TetralogError } from 'tetralog'
import { answerQuestions } from './answers.js'
import { count, counted, duration, printable } from './display.js'
import { openRepository, type Repository, UserError } from './git.js'
import { importHistory, type Progress } from './import-history.js'
import { readOptions, usage } from './options.js'
import { ProgressLine } from './progress-line.js'

const stores = fileURLToPath(new URL('../../../.tetralog/', import.meta.url))

async function main(signal: AbortSignal): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  if (options.help) {
    console.log(usage)
    return
  }
  const repository = await openRepository(options.repository)
  const path = options.store ?? `${stores}${repository.key}`
  console.log(`Repository  ${printable(repository.path)}`)
  console.log(`Store       ${printable(path)} (${options.durability})\n`)
  await using store = await Store.open(path, { durability: options.durability })
  await importAndTell(store, repository, signal)
  if (!signal.aborted) await answerQuestions(store, signal)
}

async function importAndTell(store: Store, repository: Repository, signal: AbortSignal) {
  if (repository.head === undefined) {
    console.log('The repository has no commits yet: nothing is new.')
    return
  }
  if (repository.shallowCommits.size > 0) {
    const commits = counted(repository.shallowCommits.size, 'commit')
    console.log(`This is a shallow clone: in its oldest ${commits} every file counts as added.`)
  }
  const line = new ProgressLine()
  const started = performance.now()
  const progress = await importHistory(store, repository, {
    signal,
    onProgress: (state) => line.update(state),
  }).finally(() => line.finish())
  const time = performance.now() - started
  console.log(signal.aborted ? interruption(progress) : summary(progress, time))
}

function summary({ commits, added, known }: Progress, time: number): string {
  const read = `${counted(commits, 'commit')} read in ${duration(time)}`
  if (added === 0) return `${read}: nothing is new.`
  const rate = `${count(Math.round((added / Math.max(time, 1)) * 1000))} events/s`
  const before = known === 0 ? '' : ` ${counted(known, 'event was', 'events were')} there before.`
  return `${read}: ${counted(added, 'new event')} (${rate}).${before}`
}

function interruption({ commits, added }: Progress): string {
  const stored = `${counted(added, 'new event')} of ${counted(commits, 'commit')}`
  return `Interrupted: ${stored} are stored. Run it again to go on from there.`
}

function explain(error: unknown): string {
  if (error instanceof UserError || error instanceof TetralogError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** The first Ctrl-C lets pending appends finish and closes the store; a second one does not wait. */
function interruptible(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort()
    })
  }
  return controller.signal
}

process.stdout.on('error', () => process.exit(0)) // the reader of a pipe has gone
const signal = interruptible()
try {
  await main(signal)
} catch (error) {
  if (!signal.aborted) console.error(explain(error))
  process.exitCode = 1
}
if (signal.aborted) process.exitCode = 130
