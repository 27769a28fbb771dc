// Everything, from the first event to the last.
import { join } from 'node:path'
import type { RecordedEvent, Store } from 'tetralog'
import { batchSize } from '../contenders/subjects.js'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { RawFile } from '../raw-file.js'
import { type Events, groupsOf, type WorkloadEvent } from '../workload.js'
import type { Filled } from './filled.js'
import { touch } from './sink.js'

export const nameOfTwo = 'scan, position and payload'
export const nameOfAll = 'scan, every field'

export function scans(settings: Settings, filled: Filled, events: Events): Measurement[] {
  const { store, peers } = filled
  const count = events.length
  const size = `${count} events`
  const unit = 'events/s'
  const two: Contender[] = [
    { name: 'raw file', kind: 'raw', round: () => scanRawFile(settings, events) },
    inBatches(store, count, touchTwo),
    inLoop(store, count),
    ...peers.map((peer) => {
      const round = () => rate(count, () => touch(peer.store.scan()))
      return { name: peer.name, kind: 'peer', round } as const
    }),
  ]
  const all: Contender[] = [
    inBatches(store, count, touchAll),
    ...peers.map((peer) => {
      const round = () => rate(count, () => touch(peer.store.scanFields()))
      return { name: peer.name, kind: 'peer', round } as const
    }),
  ]
  return [
    { name: nameOfTwo, unit, size, contenders: two },
    { name: nameOfAll, unit, size, contenders: all },
  ]
}

export function touchTwo(event: RecordedEvent<WorkloadEvent>): number {
  return event.position + event.payload.length
}

function touchAll(event: RecordedEvent<WorkloadEvent>): number {
  const lengths = event.entity.length + event.fact.length + event.scope.length + event.id.length
  const bytes = event.clock.length + event.payload.length + event.link.length
  const more = event.tags.length + event.contentType.length + event.previousLink.length
  return event.position + event.version + event.recordedAt.getTime() + lengths + bytes + more
}

function inBatches(
  store: Store,
  count: number,
  read: (event: RecordedEvent<WorkloadEvent>) => number,
): Contender {
  const round = () =>
    rate(count, async () => {
      let sum = 0
      for await (const batch of store.all<WorkloadEvent>().batches()) {
        for (const event of batch) sum += read(event)
      }
      touch(sum)
    })
  return { name: 'batches()', kind: 'tetralog', round }
}

function inLoop(store: Store, count: number): Contender {
  const round = () =>
    rate(count, async () => {
      let sum = 0
      for await (const event of store.all<WorkloadEvent>()) sum += touchTwo(event)
      touch(sum)
    })
  return { name: 'for await', kind: 'tetralog', round }
}

async function scanRawFile(settings: Settings, events: Events): Promise<number> {
  using file = new RawFile(join(settings.folder, 'raw'), events.length)
  for (const group of groupsOf(events, batchSize)) file.append(group)
  return await rate(events.length, () => {
    let sum = 0
    file.scan((payload) => {
      sum += payload.length
    })
    touch(sum)
  })
}
