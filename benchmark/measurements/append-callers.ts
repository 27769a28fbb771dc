// Many callers at a time, each of which waits for its own event before it appends the next.
import type { Durability, Store } from 'tetralog'
import { type Measurement, rate, type Settings } from '../measurement.js'
import { type Events, inFreshStore, rawRound } from '../stores.js'
import { entityName, type WorkloadEvent } from '../workload.js'

const callers = 64
const mostEvents = 200_000

export function appendCallers(
  settings: Settings,
  all: Events,
  durability: Durability,
): Measurement {
  const events = all.slice(0, mostEvents)
  const work = shares(events)
  return {
    name: `append, ${callers} callers, ${durability}`,
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      { name: 'raw', round: () => rawRound(settings, events, callers, durability === 'sync') },
      {
        name: 'append',
        round: () =>
          inFreshStore(settings, { durability }, (store) =>
            rate(events.length, async () => {
              await Promise.all(work.map((share) => appendAll(store, share)))
            }),
          ),
      },
    ],
  }
}

async function appendAll(store: Store, events: Events): Promise<void> {
  for (const event of events) await store.append<WorkloadEvent>(event)
}

/** Each caller has entities of its own, so that the expected versions hold. */
function shares(events: Events): Events[] {
  const result: Events[number][][] = Array.from({ length: callers }, () => [])
  const prefix = entityName(0).length - 1
  for (const event of events) result[Number(event.entity.slice(prefix)) % callers]?.push(event)
  return result
}
