// The workload that all measurements share: the same events for the same seed, on every machine.
import type { NewEvent } from 'tetralog'

export const payloadBytes = 256
export const entityCount = 10_000
export const factCount = 16
export const organisationCount = 10
export const teamCount = 10

const firstClockNs = 1_700_000_000_000_000_000n
const clockStepNs = 1_000_000n
const clockBytes = 8
const poolBytes = 1 << 22
const mostNamesKept = 100_000

export type WorkloadEvent = { readonly fact: string; readonly payload: Uint8Array }
export type Events = readonly NewEvent<WorkloadEvent>[]

/** Numbers of xorshift32, from 0 and below a bound. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed | 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return Math.floor(((state >>> 0) / 2 ** 32) * below)
  }
}

export function entityName(number: number): string {
  return `entity:${number}`
}

export function factName(number: number): string {
  return `fact_${number}`
}

export function organisation(number: number): string {
  return `org:${number}`
}

const facts = Array.from({ length: factCount }, (_, number) => factName(number))
const scopes = Array.from({ length: organisationCount * teamCount }, (_, number) => {
  return `${organisation(Math.floor(number / teamCount))}/team:${number % teamCount}`
})

export interface SourceOptions {
  /** How many entities events are drawn from; 10,000 if left out. */
  readonly entities?: number
  /** Every entity gets an event, in order, before any are drawn. */
  readonly isEveryEntityFirst?: boolean
  /** Of each event; 256 if left out. */
  readonly payloadBytes?: number
  readonly seed?: number
}

/** Makes events of random entities, each with the version it expects. It keeps four bytes for each
 *  entity and nothing for each event. */
export class EventSource {
  readonly entities: number
  readonly #random: (below: number) => number
  readonly #pool = new Uint8Array(poolBytes)
  readonly #versions: Int32Array
  readonly #names: readonly string[]
  readonly #inOrder: number
  readonly #payloadBytes: number
  #made = 0

  constructor({
    entities = entityCount,
    isEveryEntityFirst = false,
    payloadBytes: bytes = payloadBytes,
    seed = 42,
  }: SourceOptions = {}) {
    this.entities = entities
    this.#random = randomNumbers(seed)
    for (let index = 0; index < poolBytes; index += 1) this.#pool[index] = this.#random(256)
    this.#versions = new Int32Array(entities).fill(-1)
    const named = Math.min(entities, mostNamesKept)
    this.#names = Array.from({ length: named }, (_, number) => entityName(number))
    this.#inOrder = isEveryEntityFirst ? entities : 0
    this.#payloadBytes = bytes
  }

  /** The next events, which follow those made before. */
  next(count: number): NewEvent<WorkloadEvent>[] {
    const clocks = new Uint8Array(count * clockBytes)
    const view = new DataView(clocks.buffer)
    return Array.from({ length: count }, (_, index) => {
      const start = index * clockBytes
      view.setBigUint64(start, firstClockNs + BigInt(this.#made) * clockStepNs)
      return this.#make(clocks.subarray(start, start + clockBytes))
    })
  }

  /** Batches with that many events in all, made as they are asked for. */
  *batches(events: number, size: number): Generator<NewEvent<WorkloadEvent>[]> {
    for (let left = events; left > 0; left -= size) yield this.next(Math.min(left, size))
  }

  #make(clock: Uint8Array): NewEvent<WorkloadEvent> {
    const random = this.#random
    const entity = this.#made < this.#inOrder ? this.#made : random(this.entities)
    this.#made += 1
    const version = this.#versions[entity] ?? -1
    this.#versions[entity] = version + 1
    const start = random(poolBytes - this.#payloadBytes)
    return {
      entity: this.#names[entity] ?? entityName(entity),
      fact: facts[random(factCount)] ?? '',
      scope: scopes[random(scopes.length)] ?? '',
      clock,
      payload: this.#pool.subarray(start, start + this.#payloadBytes),
      expect: version === -1 ? 'none' : version,
    }
  }
}

export function groupsOf(events: Events, size: number): Events[] {
  const groups: Events[] = []
  for (let start = 0; start < events.length; start += size) {
    groups.push(events.slice(start, start + size))
  }
  return groups
}

/** Names of random entities of a store with that many events. */
export function randomEntities(count: number, events: number, entities = entityCount): string[] {
  const random = randomNumbers(7)
  const known = Math.min(entities, events)
  return Array.from({ length: count }, () => entityName(random(known)))
}

export interface FactAndOrganisation {
  readonly fact: string
  readonly organisation: string
}

/** One fact below one scope: of 16 facts and 10 organisations, so 1 event in 160. */
export function randomFilters(count: number): FactAndOrganisation[] {
  const random = randomNumbers(11)
  return Array.from({ length: count }, () => ({
    fact: factName(random(factCount)),
    organisation: organisation(random(organisationCount)),
  }))
}
