// One event at a time: each is acknowledged before the next is appended.
import type { Durability } from 'tetralog'
import { type Measurement, rate, type Settings } from '../measurement.js'
import { type Events, inFreshStore, rawRound } from '../stores.js'
import type { WorkloadEvent } from '../workload.js'

const mostEvents = { sync: 20_000, interval: 100_000, none: 100_000 }

export function appendOne(settings: Settings, all: Events, durability: Durability): Measurement {
  const events = all.slice(0, mostEvents[durability])
  return {
    name: `append one at a time, ${durability}`,
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      { name: 'raw', round: () => rawRound(settings, events, 1, durability === 'sync') },
      {
        name: 'append',
        round: () =>
          inFreshStore(settings, { durability }, (store) =>
            rate(events.length, async () => {
              for (const event of events) await store.append<WorkloadEvent>(event)
            }),
          ),
      },
      {
        name: 'appendSync',
        round: () =>
          inFreshStore(settings, { durability }, (store) =>
            rate(events.length, () => {
              for (const event of events) store.appendSync<WorkloadEvent>(event)
            }),
          ),
      },
    ],
  }
}
