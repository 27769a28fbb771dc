// The tables of docs/performance.md, in Markdown.
import type { Comparison } from '../compare/results.js'
import { formatShort, formatValue, formatWhole } from '../format.js'
import type { EntitiesResult, Growth } from '../growth/results.js'
import type { Header } from '../machine.js'
import { name as nameOfHold } from '../measurements/hold.js'
import type { Profiles } from '../profile/main.js'

export type Row = readonly string[]

export function targetsTable({ verdicts }: Comparison): string {
  const rows = verdicts.map(({ target, asked, measured, met }): Row => {
    return [target, asked, measured, met === 'missed' ? '**missed**' : met]
  })
  return table(['', 'asked', 'measured', ''], rows)
}

export function resultsTable(comparison: Comparison): string {
  let previous = ''
  const rows = comparison.results.map((result): Row => {
    const { measurement, contender, kind, median, unit, ratioToRaw, ratioToBestPeer } = result
    const heading = measurement === previous ? '' : measurement
    previous = measurement
    const who = kind === 'tetralog' ? `**${contender}**` : contender
    const value = `${formatValue(median, unit)} ${unit}`
    return [heading, who, value, ratio(ratioToRaw), ratio(ratioToBestPeer)]
  })
  const names = ['', '', 'median', '× raw file', '× best other store']
  return [setup(comparison), table(names, rows)].join('\n\n')
}

/** What the longest holds of the event loop consist of. */
export function holdsTable({ results }: Comparison): string {
  const holds = results.filter(({ measurement }) => measurement === nameOfHold)
  const rows = holds.map(({ contender, median, unit, parts }): Row => {
    const numbers = [median, ...['own', 'collecting', 'gap'].map((name) => parts?.[name])]
    const cells = numbers.map((ms) => (ms === undefined ? '–' : formatValue(ms, unit)))
    return [contender, ...cells]
  })
  const names = ['ms', 'longest hold', 'work of its own', 'garbage collection', 'gap on the clock']
  return table(names, rows)
}

export function growthTable(growth: Growth): string {
  const rows = growth.points.map((point): Row => {
    const { events, shape, append, making, opening, reads, scan, everything } = point
    const rates = [append.appendedPerSecond, reads.latestPerSecond, reads.streamsPerSecond]
    const queries = [reads.queriesPerSecond, reads.countsPerSecond, scan.eventsPerSecond]
    const peaks = [append, making, scan, everything].map(({ memory }) => memory.peak)
    const memory = [opening.memory, ...peaks]
    return [
      ...[formatWhole(events), shape],
      ...[...rates, ...queries].map(formatShort),
      ...[opening.warmMs, opening.coldMs].map((ms) => (ms === undefined ? '–' : ms.toFixed(1))),
      memory.map((kiB) => formatShort(kiB / 1024)).join(' / '),
      ...[point.bytesPerEvent, point.indexBytesPerEvent].map((bytes) => bytes.toFixed(1)),
      point.coldEventsPerSecond === undefined ? '–' : formatShort(point.coldEventsPerSecond),
    ]
  })
  const names = [
    ...['events', 'of', 'appended/s', 'latest/s', 'last 50 of a stream/s'],
    ...['100 events of a query/s', 'counts/s', 'scan, events/s', 'open, warm, ms', 'cold, ms'],
    ...[
      'anonymous MiB: open / append / its generator alone / scan / query',
      'bytes/event',
      'of them not the log',
    ],
    'cold streams, events/s',
  ]
  const notes = [`Bare Node has ${formatShort(growth.bareMemoryKiB / 1024)} MiB.`]
  if (growth.deviceReadsPerSecond !== undefined) {
    const reads = formatWhole(growth.deviceReadsPerSecond)
    notes.push(`The device gave ${reads} random reads a second at depth 32.`)
  }
  return [`${describeRun(growth)} ${notes.join(' ')}`, table(names, rows)].join('\n\n')
}

export function entitiesTable(result: EntitiesResult): string {
  const { entities, append, ask } = result
  const [first, last] = [append.run[0], append.run.at(-1)]
  const along = (pick: (stretch: (typeof append.run)[number]) => number) =>
    [first, last].map((stretch) => (stretch ? formatShort(pick(stretch)) : '–')).join(' / ')
  const mib = (kiB: number) => `${formatShort(kiB / 1024)} MiB`
  const rows: Row[] = [
    ['appended', `${formatWhole(append.appendedPerSecond)} events/s`],
    ['the first / the last twentieth', `${along((one) => one.appendedPerSecond)} events/s`],
    ['processor time for each', `${along((one) => one.cpuUs)} µs`],
    ['memory at their ends, garbage collected', `${along((one) => one.anonymousKiB / 1024)} MiB`],
    ['highest memory while appending, garbage and all', mib(append.memory.peak)],
    ['opening', `${ask.openMs.toFixed(1)} ms`],
    ['memory after opening', mib(ask.memory.opened)],
    ['memory after the lookups', mib(ask.memory.afterLookups)],
    ['`latest` of an entity', `${formatWhole(ask.latestPerSecond)}/s`],
    ['`version` of an entity', `${formatWhole(ask.versionsPerSecond)}/s`],
    ['`version` of one that is not there', `${formatWhole(ask.absentPerSecond)}/s`],
    ['disk', `${formatShort(result.bytesPerEntity)} bytes/entity`],
    ['of it the directory', `${formatShort(result.directoryBytesPerEntity)} bytes/entity`],
  ]
  const names = ['', `${formatWhole(entities)} entities`]
  return [describeRun(result), table(names, rows)].join('\n\n')
}

const functionsShown = 4

export function profilesTable(profiles: Profiles): string {
  const rows = profiles.profiles.flatMap(({ measurement, contender, cpuUs, threads }) => {
    const what = `${measurement}: ${contender}, ${formatShort(cpuUs)} µs`
    return threads.map(({ thread, us, functions }, index): Row => {
      const shares = functions.slice(0, functionsShown).map(({ name, share }) => {
        return `\`${name}\` ${formatShort(share * 100)} %`
      })
      return [index === 0 ? what : '', thread, formatShort(us), shares.join(', ')]
    })
  })
  const { events, entities } = profiles.settings
  const sizes = `${formatWhole(events)} events, ${formatWhole(entities)} entities where they are many.`
  const names = ['', 'thread', 'µs', 'of which']
  return [`${describeRun(profiles)} ${sizes}`, table(names, rows)].join('\n\n')
}

function setup(comparison: Comparison): string {
  const { settings, peers, missing } = comparison
  const { events, entities, rounds } = settings
  const sizes = `${formatWhole(events)} events, ${rounds} rounds, up to ${formatWhole(entities)} entities.`
  const beside = peers.map(({ name, version, setup: how }) => `- ${name} ${version}: ${how}`)
  const notes = [...beside, ...missing.map((sentence) => `- ${sentence}`)]
  return [
    `${describeRun(comparison)} ${sizes}`,
    ...(notes.length > 0 ? [notes.join('\n')] : []),
  ].join('\n\n')
}

export function describeRun({ date, machine, versions }: Header): string {
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.fileSystem}`
  const what = `Node.js ${versions.node}, tetralog ${versions.tetralog}`
  return `Measured on ${date.slice(0, 10)}: ${where}, ${machine.system}, ${what}.`
}

export function table(names: Row, rows: readonly Row[]): string {
  const write = (cells: Row) => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |')
  return [write(names), write(names.map(() => '---')), ...rows.map(write)].join('\n')
}

function ratio(value: number | undefined): string {
  return value === undefined ? '' : `${formatShort(value)} ×`
}
