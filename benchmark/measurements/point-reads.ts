// The stream, and the latest event, of one random entity after another.
import type { ReadOptions, Store } from 'tetralog'
import { type Contender, type Measurement, rate } from '../measurement.js'
import { entityCount, randomEntities, type WorkloadEvent } from '../workload.js'
import type { Filled } from './filled.js'
import { touch } from './sink.js'

export const nameOfStream = 'stream of a random entity'
export const nameOfLatest = 'latest of a random entity'
const mostStreams = 5000
const mostLatest = 50_000

export function streams({ store, peers, events }: Filled): Measurement {
  const entities = randomEntities(Math.min(mostStreams, events), events)
  const round = () =>
    rate(entities.length, async () => {
      await readStreams(store, entities)
    })
  return {
    name: nameOfStream,
    unit: 'reads/s',
    size: `${entities.length} reads of about ${Math.ceil(events / entityCount)} events`,
    contenders: [
      { name: 'stream().toArray()', kind: 'tetralog', round },
      ...eachOf(peers, entities, (peer, entity) => peer.stream(entity)),
    ],
  }
}

export function latest({ store, peers, events }: Filled): Measurement {
  const entities = randomEntities(Math.min(mostLatest, events), events)
  const round = () => rate(entities.length, () => readLatest(store, entities))
  return {
    name: nameOfLatest,
    unit: 'reads/s',
    size: `${entities.length} reads`,
    contenders: [
      { name: 'latest()', kind: 'tetralog', round },
      ...eachOf(peers, entities, (peer, entity) => peer.latest(entity)),
    ],
  }
}

/** Gives how many events the streams have. */
export async function readStreams(
  store: Store,
  entities: readonly string[],
  options: ReadOptions = {},
): Promise<number> {
  let count = 0
  for (const entity of entities) {
    for (const event of await store.stream<WorkloadEvent>(entity, options).toArray()) {
      touch(event.payload.length)
      count += 1
    }
  }
  return count
}

export async function readLatest(store: Store, entities: readonly string[]): Promise<void> {
  for (const entity of entities) {
    touch((await store.latest<WorkloadEvent>(entity))?.payload.length ?? 0)
  }
}

function eachOf(
  peers: Filled['peers'],
  entities: readonly string[],
  read: (peer: Filled['peers'][number]['store'], entity: string) => number,
): Contender[] {
  return peers.map(({ name, store }) => ({
    name,
    kind: 'peer',
    round: () =>
      rate(entities.length, () => {
        for (const entity of entities) touch(read(store, entity))
      }),
  }))
}
