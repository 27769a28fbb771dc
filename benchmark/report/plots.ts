// The plots of docs/performance.md, by the names of their files.
import { formatCompact, formatShort } from '../format.js'
import type { Growth, OverTime } from '../growth/results.js'
import { type GrowthPoint, shapes } from '../growth/sizes.js'
import type { Second } from '../tasks/flat-out.js'
import { mannerTitles } from './over-time.js'
import { type Axis, drawPlot, type Point, type Series } from './plot.js'

/** Contents by file name. */
export type Drawings = ReadonlyMap<string, string>
type Pick = (point: GrowthPoint) => number | undefined
type Curves = Readonly<Record<string, Pick>>

const events: Axis = { label: 'events in the store', scale: 'log', write: formatCompact }
const seconds: Axis = { label: 'seconds', scale: 'linear', write: formatShort }
const kiBInMiB = 1024

const growthCurves: Readonly<Record<string, readonly [title: string, y: Axis, curves: Curves]>> = {
  append: [
    'Appends, batches of 1000, synced at intervals',
    linear('events/s'),
    { append: ({ append }) => append.appendedPerSecond },
  ],
  open: [
    'Opening',
    linear('ms'),
    { warm: ({ opening }) => opening.warmMs, cold: ({ opening }) => opening.coldMs },
  ],
  reads: [
    'Reads of one entity',
    logarithmic('reads/s'),
    {
      latest: ({ reads }) => reads.latestPerSecond,
      'last 50 of a stream': ({ reads }) => reads.streamsPerSecond,
    },
  ],
  queries: [
    'Queries of a fact and a scope',
    logarithmic('queries/s'),
    {
      'first 100 events': ({ reads }) => reads.queriesPerSecond,
      count: ({ reads }) => reads.countsPerSecond,
    },
  ],
  memory: [
    'Anonymous memory of the process, peak',
    linear('MiB'),
    {
      opened: ({ opening }) => opening.memory / kiBInMiB,
      appending: ({ append }) => append.memory.peak / kiBInMiB,
      'their generator alone': ({ making }) => making.memory.peak / kiBInMiB,
      scan: ({ scan }) => scan.memory.peak / kiBInMiB,
      query: ({ everything }) => everything.memory.peak / kiBInMiB,
    },
  ],
  disk: [
    'Disk',
    linear('bytes/event'),
    {
      'all files': ({ bytesPerEvent }) => bytesPerEvent,
      'without the log': ({ indexBytesPerEvent }) => indexBytesPerEvent,
    },
  ],
}

export function growthPlots({ points }: Growth): Drawings {
  const drawings = Object.entries(growthCurves).map(([name, [title, y, curves]]) => {
    const series = Object.entries(curves).flatMap(([curve, pick], colour) => {
      return shapes.map((shape, index): Series => {
        const label = `${curve}, ${shape}`
        return { name: label, points: along(points, shape, pick), colour, isDashed: index > 0 }
      })
    })
    const plot = { title, x: events, y, series, hasMarks: true }
    return [`growth-${name}.svg`, drawPlot(plot)] as const
  })
  return new Map(drawings)
}

export function overTimePlots({ runs }: OverTime): Drawings {
  const series = (pick: (second: Second) => number): Series[] =>
    runs.map(({ manner, samples }, colour) => ({
      name: mannerTitles[manner],
      points: samples.map((second, index): Point => [index, pick(second)]),
      colour,
      isDashed: false,
    }))
  const draw = (title: string, y: Axis, drawn: readonly Series[]) =>
    drawPlot({ title, x: seconds, y, series: drawn, hasMarks: false })
  return new Map([
    [
      'over-time-rate.svg',
      draw(
        'Appends over time',
        logarithmic('events/s'),
        series(({ events: count }) => count),
      ),
    ],
    [
      'over-time-latency.svg',
      draw(
        'Longest append of each second',
        logarithmic('ms'),
        series((second) => second.longestMs),
      ),
    ],
  ])
}

function along(points: readonly GrowthPoint[], shape: string, pick: Pick): Point[] {
  return points.flatMap((point): Point[] => {
    const value = pick(point)
    return point.shape !== shape || value === undefined ? [] : [[point.events, value]]
  })
}

function linear(label: string): Axis {
  return { label, scale: 'linear', write: formatCompact }
}

function logarithmic(label: string): Axis {
  return { label, scale: 'log', write: formatCompact }
}
