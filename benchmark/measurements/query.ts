// One fact below one scope: of 16 facts and 10 organisations, so 1 event in 160.
import type { Store } from 'tetralog'
import { type Measurement, rate } from '../measurement.js'
import {
  factCount,
  factName,
  organisation,
  organisationCount,
  randomNumbers,
  type WorkloadEvent,
} from '../workload.js'

const reads = 100

export function query(store: Store, events: number): Measurement {
  const random = randomNumbers(11)
  const filters = Array.from({ length: reads }, () => ({
    fact: factName(random(factCount)),
    scope: `${organisation(random(organisationCount))}/*`,
  }))
  const expected = Math.round(events / factCount / organisationCount)
  return {
    name: 'fact + scope query',
    unit: 'reads/s',
    size: `${reads} reads of about ${expected} events`,
    contenders: [
      {
        name: 'batches(), payload',
        round: () =>
          rate(reads, async () => {
            for (const filter of filters) {
              for await (const batch of store.query<WorkloadEvent>(filter).batches()) {
                for (const event of batch) event.payload
              }
            }
          }),
      },
      {
        name: 'count()',
        round: () =>
          rate(reads, async () => {
            for (const filter of filters) await store.query(filter).count()
          }),
      },
    ],
  }
}
