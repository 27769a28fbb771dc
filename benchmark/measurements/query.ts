// One fact below one scope, which every 160th event has: its events, and how many there are.
import type { Store } from 'tetralog'
import { type Measurement, rate } from '../measurement.js'
import {
  type FactAndOrganisation,
  factCount,
  organisationCount,
  randomFilters,
  type WorkloadEvent,
} from '../workload.js'
import type { Filled } from './filled.js'
import { touch } from './sink.js'

export const name = 'fact + scope query'
const reads = 100

export function queries({ store, peers, events }: Filled): Measurement[] {
  const filters = randomFilters(reads)
  const expected = Math.ceil(events / factCount / organisationCount)
  const size = `${reads} reads of about ${expected} events`
  const beside = (read: (peer: Filled['peers'][number], filter: FactAndOrganisation) => number) =>
    peers.map((peer) => {
      const round = () =>
        rate(reads, () => {
          for (const filter of filters) touch(read(peer, filter))
        })
      return { name: peer.name, kind: 'peer', round } as const
    })
  const whole = () => rate(reads, () => readQueries(store, filters))
  const counts = () => rate(reads, () => readCounts(store, filters))
  return [
    {
      ...{ name, unit: 'reads/s', size },
      contenders: [
        { name: 'query().batches()', kind: 'tetralog', round: whole },
        ...beside((peer, filter) => peer.store.query(filter)),
      ],
    },
    {
      ...{ name: `${name}, count`, unit: 'reads/s', size: `${reads} counts` },
      contenders: [
        { name: 'query().count()', kind: 'tetralog', round: counts },
        ...beside((peer, filter) => peer.store.count(filter)),
      ],
    },
  ]
}

/** With a limit, reads that many events of each at most. */
export async function readQueries(
  store: Store,
  filters: readonly FactAndOrganisation[],
  limit?: number,
): Promise<void> {
  for (const filter of filters) {
    const query = store.query<WorkloadEvent>(below(filter), limit === undefined ? {} : { limit })
    for await (const batch of query.batches()) {
      for (const event of batch) touch(event.payload.length)
    }
  }
}

export async function readCounts(
  store: Store,
  filters: readonly FactAndOrganisation[],
): Promise<void> {
  for (const filter of filters) touch(await store.query(below(filter)).count())
}

function below({ fact, organisation }: FactAndOrganisation) {
  return { fact, scope: `${organisation}/*` }
}
