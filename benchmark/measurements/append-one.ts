// One event at a time: each is durable before the next is appended.
import type { Store } from 'tetralog'
import type { Peer } from '../contenders/peer.js'
import { inFreshPeerStore, inFreshStore } from '../contenders/subjects.js'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { rawAppends } from '../raw-file.js'
import type { Events, WorkloadEvent } from '../workload.js'

export const name = 'append one at a time, durable'
const mostEvents = 20_000

export function appendOne(settings: Settings, all: Events, peers: readonly Peer[]): Measurement {
  const events = all.slice(0, mostEvents)
  const own = (way: string, work: (store: Store) => Promise<void> | void): Contender => ({
    name: way,
    kind: 'tetralog',
    round: () => inFreshStore(settings, {}, (store) => rate(events.length, () => work(store))),
  })
  const beside = (peer: Peer): Contender => ({
    name: peer.name,
    kind: 'peer',
    round: () =>
      inFreshPeerStore(settings, peer, { isDurable: true }, (store) =>
        rate(events.length, () => {
          for (const event of events) store.append([event])
        }),
      ),
  })
  return {
    name,
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      rawAppends(settings, events, 1, true),
      own('await append()', async (store) => {
        for (const event of events) await store.append<WorkloadEvent>(event)
      }),
      own('appendSync()', (store) => {
        for (const event of events) store.appendSync<WorkloadEvent>(event)
      }),
      ...peers.map(beside),
    ],
  }
}
