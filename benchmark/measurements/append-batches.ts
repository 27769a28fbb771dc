// Batches of 1000 events of many entities: one after another, and some in flight at a time.
import type { Durability, Store } from 'tetralog'
import type { Peer } from '../contenders/peer.js'
import { appendAhead, batchSize, inFreshPeerStore, inFreshStore } from '../contenders/subjects.js'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { rawAppends } from '../raw-file.js'
import { type Events, groupsOf, type WorkloadEvent } from '../workload.js'

export const name = (durability: Durability): string => {
  return `append batches of ${batchSize}, ${describe(durability)}`
}

export function appendBatches(
  settings: Settings,
  events: Events,
  peers: readonly Peer[],
  durability: Durability,
): Measurement {
  const isDurable = durability === 'sync'
  const batches = groupsOf(events, batchSize)
  const own = (way: string, work: (store: Store) => Promise<void>): Contender => ({
    name: way,
    kind: 'tetralog',
    round: () =>
      inFreshStore(settings, { durability }, (store) => rate(events.length, () => work(store))),
  })
  const beside = (peer: Peer): Contender => ({
    name: peer.name,
    kind: 'peer',
    round: () =>
      inFreshPeerStore(settings, peer, { isDurable }, (store) =>
        rate(events.length, () => {
          for (const batch of batches) store.append(batch)
        }),
      ),
  })
  return {
    name: name(durability),
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      rawAppends(settings, events, batchSize, isDurable),
      own('await append()', async (store) => {
        for (const batch of batches) await store.append<WorkloadEvent>(batch)
      }),
      own('append(), 4 in flight', (store) => appendAhead(store, batches)),
      ...peers.map(beside),
    ],
  }
}

function describe(durability: Durability): string {
  return { sync: 'durable', interval: 'synced at intervals', none: 'no sync' }[durability]
}
