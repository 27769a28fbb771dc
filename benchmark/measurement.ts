// What a measurement is, and how it is taken: every contender once in each round, so that they are
// compared side by side, and the median of the rounds.

export interface Settings {
  readonly events: number
  readonly rounds: number
  /** Where the stores of the measurements are; empty at the beginning. */
  readonly folder: string
}

export type Unit = 'events/s' | 'reads/s' | 'ms' | 'KiB' | 'bytes/event'
export type Kind = 'raw' | 'tetralog' | 'peer' | 'control'

export interface Contender {
  readonly name: string
  readonly kind: Kind
  /** One round: gives the number in the measurement's unit. */
  round(): Promise<Taken> | Taken
}

/** A number, or one with others that explain it, by their names and in the same unit. */
export type Taken = number | Explained
interface Explained {
  readonly value: number
  readonly parts: Parts
}
export type Parts = Readonly<Record<string, number>>

export interface Measurement {
  readonly name: string
  readonly unit: Unit
  /** How much one round does. */
  readonly size: string
  readonly contenders: readonly Contender[]
}

export interface Result {
  readonly measurement: string
  readonly contender: string
  readonly kind: Kind
  readonly unit: Unit
  readonly size: string
  readonly median: number
  readonly rounds: readonly number[]
  readonly ratioToRaw?: number
  readonly ratioToBestPeer?: number
  /** The medians of what explains it. */
  readonly parts?: Parts
}

export async function take(measurement: Measurement, rounds: number): Promise<Result[]> {
  const { name, unit, size, contenders } = measurement
  const taken = contenders.map((): Taken[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      collectGarbage()
      taken[index]?.push(await contender.round())
    }
  }
  const results = contenders.map((contender, index) => {
    const who = { measurement: name, contender: contender.name, kind: contender.kind }
    return { ...who, unit, size, ...summary(taken[index] ?? []) }
  })
  return results.map((result) => ({ ...result, ...ratios(result, results) }))
}

/** Is called around what is timed of a round. */
export type Watch = (count: number, timed: () => Promise<number>) => Promise<number>
let watch: Watch = (_count, timed) => timed()

/** Lets a profiler see what is timed, and nothing else. */
export function watchRates(next: Watch): void {
  watch = next
}

function summary(taken: readonly Taken[]): Pick<Result, 'median' | 'rounds' | 'parts'> {
  const rounds = taken.map((one) => (typeof one === 'number' ? one : one.value))
  const explained = taken.filter((one) => typeof one !== 'number')
  const names = Object.keys(explained[0]?.parts ?? {})
  const parts = names.map((name) => [name, median(explained.map(({ parts }) => parts[name] ?? 0))])
  return {
    median: median(rounds),
    rounds,
    ...(names.length > 0 && { parts: Object.fromEntries(parts) }),
  }
}

/** How many of them a second the work does. */
export function rate(count: number, work: () => Promise<void> | void): Promise<number> {
  return watch(count, async () => (count / (await milliseconds(work))) * 1000)
}

export async function milliseconds(work: () => Promise<unknown> | unknown): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** The best median of a kind: the highest rate, or the lowest time or size. */
export function best(results: readonly Result[], kind: Kind): Result | undefined {
  const ordered = results
    .filter((result) => result.kind === kind)
    .sort((a, b) => (a.unit.endsWith('/s') ? b.median - a.median : a.median - b.median))
  return ordered[0]
}

function ratios(
  result: Result,
  all: readonly Result[],
): Pick<Result, 'ratioToRaw' | 'ratioToBestPeer'> {
  if (result.kind !== 'tetralog') return {}
  const raw = best(all, 'raw')
  const peer = best(all, 'peer')
  return {
    ...(raw && { ratioToRaw: result.median / raw.median }),
    ...(peer && { ratioToBestPeer: result.median / peer.median }),
  }
}

function collectGarbage(): void {
  const collect: unknown = Reflect.get(globalThis, 'gc')
  if (typeof collect === 'function') collect()
}
