// Streams of random entities with nothing in the page cache and many in flight, beside what the
// device can do: random reads of a page, 32 at a time. Linux, and root only.
import { join } from 'node:path'
import { Store } from 'tetralog'
import { type Measurement, rate, type Settings } from '../measurement.js'
import { canDropPageCache, dropPageCache } from '../page-cache.js'
import { runTask } from '../tasks/run.js'
import { randomEntities, type WorkloadEvent } from '../workload.js'
import { touch } from './sink.js'

export const name = 'entity streams, page cache dropped'
const inFlight = 256
const streams = 1000
const mostOfStream = 50

export interface ColdStore {
  readonly path: string
  readonly events: number
  readonly entities: number
}

export function coldStreams(
  settings: Settings,
  store: ColdStore,
  deviceBytes: number,
): Measurement | undefined {
  if (!canDropPageCache()) return undefined
  return {
    name,
    unit: 'events/s',
    size: `${streams} streams of up to ${mostOfStream} events, ${inFlight} in flight, of ${store.events} events`,
    contenders: [
      {
        name: 'device, random reads at depth 32',
        kind: 'control',
        round: () => deviceReads(settings.folder, deviceBytes),
      },
      { name: 'stream().toArray()', kind: 'tetralog', round: () => runTask('readCold', store) },
    ],
  }
}

/** Reads a second, of a file of that many bytes. */
export function deviceReads(folder: string, bytes: number): Promise<number> {
  const task = { file: join(folder, 'device'), bytes }
  return runTask('randomReads', task, { UV_THREADPOOL_SIZE: '32' })
}

/** Events a second. Opening is not timed; what it reads is in the page cache then. */
export async function readCold({ path, events, entities }: ColdStore): Promise<number> {
  const names = randomEntities(streams, events, entities)
  dropPageCache()
  await using store = await Store.open(path, { readOnly: true })
  let count = 0
  const reader = async () => {
    for (let entity = names.pop(); entity !== undefined; entity = names.pop()) {
      const stream = store.stream<WorkloadEvent>(entity, { limit: mostOfStream })
      for (const event of await stream.toArray()) {
        touch(event.payload.length)
        count += 1
      }
    }
  }
  const passesPerSecond = await rate(1, async () => {
    await Promise.all(Array.from({ length: inFlight }, reader))
  })
  return count * passesPerSecond
}
