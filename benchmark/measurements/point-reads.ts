// The stream, and the latest event, of one random entity after another.
import type { Store } from 'tetralog'
import { type Measurement, rate } from '../measurement.js'
import { entityCount, entityName, randomNumbers, type WorkloadEvent } from '../workload.js'

function names(count: number, events: number): string[] {
  const random = randomNumbers(7)
  const known = Math.min(entityCount, events)
  return Array.from({ length: count }, () => entityName(random(known)))
}

export function streams(store: Store, events: number): Measurement {
  const entities = names(Math.min(5000, events), events)
  return {
    name: 'stream of a random entity',
    unit: 'reads/s',
    size: `${entities.length} reads of about ${Math.round(events / entityCount)} events`,
    contenders: [
      {
        name: 'toArray()',
        round: () =>
          rate(entities.length, async () => {
            for (const entity of entities) await store.stream<WorkloadEvent>(entity).toArray()
          }),
      },
      {
        name: 'for await, payload',
        round: () =>
          rate(entities.length, async () => {
            for (const entity of entities) {
              for await (const event of store.stream<WorkloadEvent>(entity)) event.payload
            }
          }),
      },
    ],
  }
}

export function latest(store: Store, events: number): Measurement {
  const entities = names(Math.min(50_000, events), events)
  return {
    name: 'latest of a random entity',
    unit: 'reads/s',
    size: `${entities.length} reads`,
    contenders: [
      {
        name: 'latest()',
        round: () =>
          rate(entities.length, async () => {
            for (const entity of entities) (await store.latest<WorkloadEvent>(entity))?.payload
          }),
      },
    ],
  }
}
