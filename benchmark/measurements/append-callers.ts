// Many callers at a time, each of which waits until its own event is durable before it appends the
// next.
import type { NewEvent } from 'tetralog'
import { GroupCommit } from '../contenders/group-commit.js'
import type { Peer } from '../contenders/peer.js'
import { inFreshPeerStore, inFreshStore } from '../contenders/subjects.js'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { rawAppends } from '../raw-file.js'
import { type Events, entityName, type WorkloadEvent } from '../workload.js'

export const callers = 64
export const name = `append, ${callers} callers, durable`
const mostEvents = 200_000

type Append = (event: NewEvent<WorkloadEvent>) => Promise<unknown>

export function appendCallers(
  settings: Settings,
  all: Events,
  peers: readonly Peer[],
): Measurement {
  const events = all.slice(0, mostEvents)
  const work = shares(events)
  const measure = (append: Append) => rate(events.length, () => callAll(work, append))
  const beside = (peer: Peer): Contender => ({
    name: peer.name,
    kind: 'peer',
    round: () =>
      inFreshPeerStore(settings, peer, { isDurable: true }, (store) => {
        const group = new GroupCommit(store)
        return measure((event) => group.append(event))
      }),
  })
  return {
    name,
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      rawAppends(settings, events, callers, true),
      {
        name: 'await append()',
        kind: 'tetralog',
        round: () =>
          inFreshStore(settings, {}, (store) =>
            measure((event) => store.append<WorkloadEvent>(event)),
          ),
      },
      ...peers.map(beside),
    ],
  }
}

/** One caller for each share of the events. */
export async function callAll(work: readonly Iterable<Events[number]>[], append: Append) {
  await Promise.all(
    work.map(async (share) => {
      for (const event of share) await append(event)
    }),
  )
}

/** Each caller has entities of its own, so that the expected versions hold. */
export function shares(events: Events): Events[] {
  const result: Events[number][][] = Array.from({ length: callers }, () => [])
  const prefix = entityName(0).length - 1
  for (const event of events) result[Number(event.entity.slice(prefix)) % callers]?.push(event)
  return result
}
