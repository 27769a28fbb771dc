// The workload that all measurements share: the same events for the same seed, on every machine.
import type { NewEvent } from 'tetralog'
import { clock } from 'tetralog'

export const payloadBytes = 256
export const entityCount = 10_000
export const factCount = 16
export const organisationCount = 10
export const teamCount = 10

const firstClockNs = 1_700_000_000_000_000_000n
const poolBytes = 1 << 22

export type WorkloadEvent = { readonly fact: string; readonly payload: Uint8Array }

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

/** Events of random entities, each with the version it expects: made in advance, so that the time
 *  it takes to make them is not measured. */
export function makeEvents(count: number, seed = 42): NewEvent<WorkloadEvent>[] {
  const random = randomNumbers(seed)
  const pool = new Uint8Array(poolBytes)
  for (let index = 0; index < poolBytes; index += 1) pool[index] = random(256)
  const versions = new Int32Array(entityCount).fill(-1)
  return Array.from({ length: count }, (_, index) => {
    const entity = random(entityCount)
    const version = versions[entity] ?? -1
    versions[entity] = version + 1
    const start = random(poolBytes - payloadBytes)
    return {
      entity: entityName(entity),
      fact: factName(random(factCount)),
      scope: `${organisation(random(organisationCount))}/team:${random(teamCount)}`,
      clock: clock.fromNs(firstClockNs + BigInt(index) * 1_000_000n),
      payload: pool.subarray(start, start + payloadBytes),
      expect: version === -1 ? 'none' : version,
    }
  })
}
