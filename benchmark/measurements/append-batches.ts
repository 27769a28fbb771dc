// Batches of 1000 events of many entities: one after another, and some in flight at a time.
import type { Durability, Store } from 'tetralog'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { batchSize, type Events, groupsOf, inFreshStore, rawRound } from '../stores.js'
import type { WorkloadEvent } from '../workload.js'

const inFlight = 4

export function appendBatches(
  settings: Settings,
  events: Events,
  durability: Durability,
): Measurement {
  const batches = groupsOf(events, batchSize)
  const contender = (name: string, work: (store: Store) => Promise<void>): Contender => ({
    name,
    round: () =>
      inFreshStore(settings, { durability }, (store) => rate(events.length, () => work(store))),
  })
  return {
    name: `append batches of ${batchSize}, ${durability}`,
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      { name: 'raw', round: () => rawRound(settings, events, batchSize, durability === 'sync') },
      contender('append', async (store) => {
        for (const batch of batches) await store.append<WorkloadEvent>(batch)
      }),
      contender(`append, ${inFlight} in flight`, (store) => appendAhead(store, batches)),
    ],
  }
}

async function appendAhead(store: Store, batches: readonly Events[]): Promise<void> {
  const pending: Promise<unknown>[] = []
  for (const batch of batches) {
    if (pending.length === inFlight) await pending.shift()
    pending.push(store.append<WorkloadEvent>(batch))
  }
  await Promise.all(pending)
}
