// What a measurement is, and how it is taken: every contender once in each round, so that they are
// compared side by side, and the median of the rounds.

export interface Settings {
  readonly events: number
  readonly rounds: number
  /** Where the stores of the measurements are; empty at the beginning. */
  readonly folder: string
}

export type Unit = 'events/s' | 'reads/s' | 'ms' | 'KiB' | 'bytes/event'

export interface Contender {
  readonly name: string
  /** One round: gives the number in the measurement's unit. */
  round(): Promise<number> | number
}

export interface Measurement {
  readonly name: string
  readonly unit: Unit
  /** How much one round does. */
  readonly size: string
  /** The first one is what the others are compared with, if its name is 'raw'. */
  readonly contenders: readonly Contender[]
}

export interface Result {
  readonly measurement: string
  readonly contender: string
  readonly unit: Unit
  readonly size: string
  readonly median: number
  readonly rounds: readonly number[]
  readonly ratioToRaw?: number
}

export async function take(measurement: Measurement, rounds: number): Promise<Result[]> {
  const numbers = measurement.contenders.map((): number[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, contender] of measurement.contenders.entries()) {
      collectGarbage()
      numbers[index]?.push(await contender.round())
    }
  }
  const { name, unit, size, contenders } = measurement
  const medians = numbers.map(median)
  const raw = contenders[0]?.name === 'raw' ? medians[0] : undefined
  return contenders.map((contender, index) => ({
    ...{ measurement: name, contender: contender.name, unit, size },
    ...{ median: medians[index] ?? Number.NaN, rounds: numbers[index] ?? [] },
    ...(raw !== undefined && index > 0 && { ratioToRaw: (medians[index] ?? Number.NaN) / raw }),
  }))
}

/** How many of them a second the work does. */
export async function rate(count: number, work: () => Promise<void> | void): Promise<number> {
  const started = performance.now()
  await work()
  return (count / (performance.now() - started)) * 1000
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

function collectGarbage(): void {
  const collect: unknown = Reflect.get(globalThis, 'gc')
  if (typeof collect === 'function') collect()
}
