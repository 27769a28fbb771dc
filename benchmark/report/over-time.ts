// The tables of appends over time, in Markdown.
import { formatShort, formatWhole } from '../format.js'
import type { FlatOutRun, OverTime } from '../growth/results.js'
import { median } from '../measurement.js'
import type { ThreadShare } from '../tasks/stalls.js'
import { describeRun, type Row, table } from './tables.js'

const stallsShown = 5

/** Ways of appending over time, by the names of their manners. */
export const mannerTitles = {
  batches: 'batches of 1000, interval',
  'small batches': 'batches of 1000, payloads of 16 bytes, interval',
  callers: '64 callers, sync',
} as const

export function overTimeTable(result: OverTime): string {
  const rows = result.runs.map((run): Row => {
    const { manner, pace, samples, longest, device, memory } = run
    const rate = samples.reduce((sum, { events }) => sum + events, 0) / samples.length
    return [
      ...[mannerTitles[manner], formatWhole(samples.length)],
      `${formatShort(rate)}${rate > 0.97 * pace ? ' (held there)' : ''}`,
      ends(run, ({ events }) => events),
      ends(run, ({ events, cpuMs }) => (1000 * cpuMs) / Math.max(events, 1)),
      formatShort(median(samples.map(({ longestMs }) => longestMs))),
      formatShort(longest[0]?.ms ?? 0),
      `${formatShort(device.longest)} in ${device.seconds} s`,
      formatShort(memory.peak / 1024),
    ]
  })
  const names = [
    ...['', 's', 'events/s', 'first / last minute', 'µs of the processor for each'],
    ...['longest append of a second, median, ms', 'of all, ms', 'the device alone, ms'],
    'anonymous MiB, peak',
  ]
  return [describeRun(result), table(names, rows)].join('\n\n')
}

/** The median of the first and of the last minute. */
function ends({ samples }: FlatOutRun, pick: (second: FlatOutRun['samples'][number]) => number) {
  const minutes = [samples.slice(0, 60), samples.slice(-60)]
  return minutes.map((minute) => formatShort(median(minute.map(pick)))).join(' / ')
}

export function stallsTable({ runs }: OverTime): string {
  const rows = runs.flatMap(({ manner, longest }) =>
    longest.slice(0, stallsShown).map(({ atMs, ms, isRotation, threads }): Row => {
      const when = `${formatShort(atMs / 1000)} s${isRotation ? ', new segment' : ''}`
      return [mannerTitles[manner], when, formatShort(ms), ...threads.map(describeThread)]
    }),
  )
  const names = ['', 'at', 'ms', 'JavaScript', 'writers (two)', 'keeper']
  return table(names, rows)
}

function describeThread({ ranMs, waitedMs, slept, looks }: ThreadShare): string {
  const places = Object.entries(slept).sort(([, a], [, b]) => b - a)
  const sleeping = places.map(([place, times]) => `${place} ${times} of ${looks}`)
  const times = `ran ${formatShort(ranMs)}, waited ${formatShort(waitedMs)}`
  return [times, ...sleeping.slice(0, 2)].join('; ')
}
