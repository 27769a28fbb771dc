// Tasks with one store, each with the memory that it takes.
import { Store } from 'tetralog'
import { appendAhead, batchSize } from '../contenders/subjects.js'
import { milliseconds, rate } from '../measurement.js'
import { timeToOpen } from '../measurements/open.js'
import { readLatest, readStreams } from '../measurements/point-reads.js'
import { readCounts, readQueries } from '../measurements/query.js'
import { touchTwo } from '../measurements/scan.js'
import { touch } from '../measurements/sink.js'
import {
  EventSource,
  type Events,
  randomEntities,
  randomFilters,
  type WorkloadEvent,
} from '../workload.js'
import { anonymousMemory, MemoryPeak } from './anonymous-memory.js'

const pointReads = 2000
const queries = 100
const queryLimit = 100
const warmUps = 10
const lastOfStream = { backwards: true, limit: 50 }

export interface StoreTask {
  readonly path: string
  readonly events: number
  readonly entities: number
}

/** Of a process that has opened a store, in KiB. */
export async function memoryAfterOpening({ path }: { path: string }): Promise<number> {
  await using _store = await Store.open(path)
  return anonymousMemory()
}

/** The median of some openings, in ms. */
export function timeOpenings({ path, opens }: { path: string; opens: number }): Promise<number> {
  return timeToOpen(() => Store.open(path), opens)
}

/** Appends events as they are made, in batches, synced at intervals. Memory is in KiB. */
export async function fill({ path, events, entities }: StoreTask) {
  const source = new EventSource({ entities })
  const before = anonymousMemory()
  const peak = new MemoryPeak()
  let makingMs = 0
  function* batches(): Generator<Events> {
    for (let left = events; left > 0; left -= batchSize) {
      const started = performance.now()
      const batch = source.next(Math.min(left, batchSize))
      makingMs += performance.now() - started
      peak.sample()
      yield batch
    }
  }
  const store = await Store.open(path, { durability: 'interval' })
  const appendedPerSecond = await rate(events, async () => {
    await appendAhead(store, batches())
    await store.sync()
  })
  const memory = { before, peak: peak.highest }
  const closeMs = await milliseconds(() => store.close())
  return { appendedPerSecond, closeMs, memory, makingNsPerEvent: (makingMs * 1e6) / events }
}

/** Makes the events that `fill` appends, as it does, for no store. Memory is in KiB. */
export function makeEvents({ events, entities }: StoreTask) {
  const source = new EventSource({ entities })
  const peak = new MemoryPeak()
  for (const batch of source.batches(events, batchSize)) {
    touch(batch.length)
    peak.sample()
  }
  return { memory: { peak: peak.highest } }
}

/** Reads whose answers are of the same size in a store of any size, but for the counts. */
export async function readSome({ path, events, entities }: StoreTask) {
  const names = randomEntities(pointReads, events, entities)
  const filters = randomFilters(queries)
  await using store = await Store.open(path, { readOnly: true })
  const reads = {
    latest: (count: number) => readLatest(store, names.slice(0, count)),
    stream: (count: number) => readStreams(store, names.slice(0, count), lastOfStream),
    query: (count: number) => readQueries(store, filters.slice(0, count), queryLimit),
    count: (count: number) => readCounts(store, filters.slice(0, count)),
  }
  for (const read of Object.values(reads)) await read(warmUps)
  return {
    latestPerSecond: await rate(pointReads, () => reads.latest(pointReads)),
    streamsPerSecond: await rate(pointReads, async () => {
      await reads.stream(pointReads)
    }),
    queriesPerSecond: await rate(queries, () => reads.query(queries)),
    countsPerSecond: await rate(queries, () => reads.count(queries)),
    memory: { peak: anonymousMemory() },
  }
}

/** Reads every event, as a scan or as the answer of a query that all events match. */
export async function scanAll({ path, events, isQuery }: StoreTask & { isQuery: boolean }) {
  const before = anonymousMemory()
  const peak = new MemoryPeak()
  await using store = await Store.open(path, { readOnly: true })
  const reading = isQuery
    ? store.query<WorkloadEvent>({ scope: { prefix: 'org:' } })
    : store.all<WorkloadEvent>()
  const eventsPerSecond = await rate(events, async () => {
    for await (const batch of reading.batches()) {
      let sum = 0
      for (const event of batch) sum += touchTwo(event)
      touch(sum)
      peak.sample()
    }
  })
  return { eventsPerSecond, memory: { before, peak: peak.highest } }
}
