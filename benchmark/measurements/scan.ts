// Everything, from the first event to the last.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RecordedEvent, Store } from 'tetralog'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { RawFile } from '../raw-file.js'
import { batchSize, type Events, groupsOf } from '../stores.js'
import type { WorkloadEvent } from '../workload.js'

/** What was touched ends here, so that touching it is not optimised away. */
const sink = { sum: 0 }

export function scan(settings: Settings, store: Store, events: Events): Measurement {
  const batches = (name: string, touch: (event: RecordedEvent<WorkloadEvent>) => number) => ({
    name,
    round: () =>
      rate(events.length, async () => {
        for await (const batch of store.all<WorkloadEvent>().batches()) {
          for (const event of batch) sink.sum += touch(event)
        }
      }),
  })
  return {
    name: 'scan',
    unit: 'events/s',
    size: `${events.length} events`,
    contenders: [
      { name: 'raw', round: () => scanRawFile(settings, events) },
      batches('batches(), position and payload', touchTwo),
      batches('batches(), every field', touchAll),
      eachEvent(store, events.length),
    ],
  }
}

function touchTwo(event: RecordedEvent<WorkloadEvent>): number {
  return event.position + event.payload.length
}

function touchAll(event: RecordedEvent<WorkloadEvent>): number {
  const lengths = event.entity.length + event.fact.length + event.scope.length + event.id.length
  const bytes = event.clock.length + event.payload.length + event.link.length
  const more = event.tags.length + event.contentType.length + event.previousLink.length
  return event.position + event.version + event.recordedAt.getTime() + lengths + bytes + more
}

function eachEvent(store: Store, count: number): Contender {
  return {
    name: 'for await, position and payload',
    round: () =>
      rate(count, async () => {
        for await (const event of store.all<WorkloadEvent>()) sink.sum += touchTwo(event)
      }),
  }
}

async function scanRawFile(settings: Settings, events: Events): Promise<number> {
  const path = join(settings.folder, 'raw')
  const file = new RawFile(path, events.length)
  for (const group of groupsOf(events, batchSize)) file.append(group)
  try {
    return await rate(events.length, () =>
      file.scan((payload) => {
        sink.sum += payload.length
      }),
    )
  } finally {
    file.close()
    rmSync(path)
  }
}
