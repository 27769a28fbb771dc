// What is asked of Tetralog, and whether the results give it. Most targets are ratios, since absolute
// numbers move from machine to machine.
import { formatShort, formatValue } from '../format.js'
import { best, type Kind, type Result } from '../measurement.js'
import * as batches from '../measurements/append-batches.js'
import * as calls from '../measurements/append-callers.js'
import * as one from '../measurements/append-one.js'
import * as cold from '../measurements/cold-streams.js'
import * as disk from '../measurements/disk.js'
import * as hold from '../measurements/hold.js'
import * as entities from '../measurements/many-entities.js'
import * as memory from '../measurements/memory.js'
import * as open from '../measurements/open.js'
import * as points from '../measurements/point-reads.js'
import * as query from '../measurements/query.js'
import * as scan from '../measurements/scan.js'

export interface Verdict {
  readonly target: string
  readonly asked: string
  readonly measured: string
  readonly met: 'met' | 'missed' | 'not measured'
}

const roomAfterOpeningKiB = 16 << 10
const longestHoldMs = 2
const tolerance = 0.2

export function judge(results: readonly Result[]): Verdict[] {
  const all = new Results(results)
  return [
    all.ratio('one at a time, appendSync()', all.own(one.name, 'appendSync()'), [0.85, 'raw']),
    all.ratio('one at a time, await append()', all.own(one.name, 'await append()'), [0.75, 'raw']),
    all.ratio(calls.name, all.own(calls.name), [0.8, 'raw'], [4, 'peer']),
    ...(['sync', 'none'] as const).map((durability) => {
      const name = batches.name(durability)
      return all.ratio(name, all.own(name), [0.5, 'raw'], [10, 'peer'])
    }),
    all.rate(scan.nameOfTwo, all.own(scan.nameOfTwo), 4e6),
    all.ratio(scan.nameOfTwo, all.own(scan.nameOfTwo), [7, 'peer']),
    all.rate(scan.nameOfAll, all.own(scan.nameOfAll), 1.5e6),
    coldVerdict(all),
    all.ratio(points.nameOfStream, all.own(points.nameOfStream), [5, 'peer']),
    all.ratio(points.nameOfLatest, all.own(points.nameOfLatest), [2.5, 'peer']),
    all.ratio(query.name, all.own(query.name), [5, 'peer']),
    all.atMost(open.name, all.own(open.name, open.way), best(all.of(open.name), 'peer')?.median),
    ...tenfoldVerdicts(all),
    ...memoryVerdicts(all),
    all.atMost('disk, batches', all.own(disk.name, disk.wayBatches), 360),
    all.atMost('disk, frames of one event', all.own(disk.name, disk.waySingle), 400),
    manyVerdict(all),
    ...all
      .of(hold.name)
      .filter(({ kind }) => kind === 'tetralog')
      .map((result) => all.atMost(`event loop: ${result.contender}`, result, longestHoldMs)),
  ]
}

class Results {
  readonly #results: readonly Result[]

  constructor(results: readonly Result[]) {
    this.#results = results
  }

  of(measurement: string): readonly Result[] {
    return this.#results.filter((result) => result.measurement === measurement)
  }

  /** Of Tetralog: by the contender's name, or else the best. */
  own(measurement: string, contender?: string): Result | undefined {
    const results = this.of(measurement)
    if (contender === undefined) return best(results, 'tetralog')
    return results.find((result) => result.contender === contender)
  }

  /** At least so many times the raw file, or the best peer. */
  ratio(
    target: string,
    result: Result | undefined,
    ...least: readonly (readonly [number, Kind])[]
  ): Verdict {
    const asked = least.map(([factor, kind]) => `≥ ${factor} × ${nameOf(kind)}`).join(', ')
    const ratios = least.map(([factor, kind]) => {
      const value = kind === 'raw' ? result?.ratioToRaw : result?.ratioToBestPeer
      return { factor, kind, value }
    })
    const known = ratios.filter(({ value }) => value !== undefined)
    const measured = known.map(({ kind, value }) => `${formatShort(value ?? 0)} × ${nameOf(kind)}`)
    const isMissed = known.some(({ factor, value }) => (value ?? 0) < factor)
    const isKnown = known.length === ratios.length
    const met = isMissed ? 'missed' : isKnown ? 'met' : 'not measured'
    return { target, asked, measured: measured.join(', '), met }
  }

  rate(target: string, result: Result | undefined, least: number): Verdict {
    const asked = `≥ ${formatShort(least)}/s`
    if (result === undefined) return notMeasured(target, asked)
    const met = result.median >= least ? 'met' : 'missed'
    return { target, asked, measured: `${formatShort(result.median)}/s`, met }
  }

  atMost(target: string, result: Result | undefined, most: number | undefined): Verdict {
    if (result === undefined || most === undefined) return notMeasured(target, '–')
    const { unit, median } = result
    const met = median <= most ? 'met' : 'missed'
    const write = (number: number) => `${formatValue(number, unit)} ${unit}`
    return { target, asked: `≤ ${write(most)}`, measured: write(median), met }
  }

  /** The ratio of two medians is at least, or at most, that much. */
  quotient(target: string, pair: Pair, { least = 0, most = Infinity }: Bounds): Verdict {
    const asked = most === Infinity ? `≥ ${least} ×` : `≤ ${most} ×`
    const [upper, lower] = pair
    if (upper === undefined || lower === undefined) return notMeasured(target, asked)
    const value = upper.median / lower.median
    const met = value >= least && value <= most ? 'met' : 'missed'
    return { target, asked, measured: `${formatShort(value)} ×`, met }
  }
}

type Pair = readonly [Result | undefined, Result | undefined]
interface Bounds {
  readonly least?: number
  readonly most?: number
}

function coldVerdict(all: Results): Verdict {
  const device = all.of(cold.name).find(({ kind }) => kind === 'control')
  const target = `${cold.name}, events beside the device's reads`
  return all.quotient(target, [all.own(cold.name), device], { least: 0.5 })
}

function tenfoldVerdicts(all: Results): Verdict[] {
  const times = [all.own(open.name, open.wayTenfold), all.own(open.name, open.way)] as const
  return [all.quotient('open, 10 × the events', times, { most: 1 + tolerance })]
}

function memoryVerdicts(all: Results): Verdict[] {
  const bare = all.own(memory.name, memory.wayBare)
  const most = bare && bare.median + roomAfterOpeningKiB
  return [memory.way, memory.wayTenfold].map((way) =>
    all.atMost(`anonymous memory, ${way}`, all.own(memory.name, way), most),
  )
}

function manyVerdict(all: Results): Verdict {
  const pair: Pair = [
    all.own(entities.name, entities.wayMany),
    all.own(entities.name, entities.wayFew),
  ]
  return all.quotient('appends, many entities beside few', pair, { least: 0.7 })
}

function notMeasured(target: string, asked: string): Verdict {
  return { target, asked, measured: '–', met: 'not measured' }
}

function nameOf(kind: Kind): string {
  return kind === 'raw' ? 'raw' : 'the best store'
}
