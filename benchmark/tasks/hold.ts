// How long one kind of work holds the JavaScript thread at a time. Each kind is done in a process of
// its own with few objects, so that collecting the benchmark's garbage is no part of it, and is done
// some times before, so that compiling is none either.
import { Store } from 'tetralog'
import { appendAhead, batchSize } from '../contenders/subjects.js'
import { callAll, shares } from '../measurements/append-callers.js'
import { readStreams } from '../measurements/point-reads.js'
import { touchTwo } from '../measurements/scan.js'
import { touch } from '../measurements/sink.js'
import {
  EventSource,
  type Events,
  groupsOf,
  payloadBytes,
  randomEntities,
  type WorkloadEvent,
} from '../workload.js'
import { type Hold, longestHold } from './longest-hold.js'

const idleMs = 500
const largeBytes = 7 << 20
const eventsOfRun = largeBytes / payloadBytes
const streamsRead = 1000
const warmUps = 3

type Work = (store: Store) => Promise<unknown>
/** Whatever is not the store's part is made before. */
type Prepare = (events: Events) => Work

export const appending: Readonly<Record<string, Prepare>> = {
  nothing: () => () => new Promise((resolve) => setTimeout(resolve, idleMs)),
  'appends of 64 callers': (events) => {
    const work = shares(events)
    return (store) => callAll(work, (event) => store.append<WorkloadEvent>(event))
  },
  'batches of 1000, 4 in flight': (events) => {
    const batches = groupsOf(events, batchSize)
    return (store) => appendAhead(store, batches)
  },
  'batches and sync()': (events) => {
    const batches = groupsOf(events, batchSize)
    return async (store) => {
      for (const batch of batches) {
        await Promise.all([store.append<WorkloadEvent>(batch), store.sync()])
      }
    }
  },
  'one batch of 7 MiB': (events) => (store) => store.append<WorkloadEvent>(events),
  'one payload of 7 MiB': () => {
    const event = { entity: 'large', fact: 'large', payload: new Uint8Array(largeBytes) }
    return (store) => store.append<WorkloadEvent>(event)
  },
}

export const reading: Readonly<Record<string, Prepare>> = {
  'scan in batches': () => async (store) => {
    for await (const batch of store.all<WorkloadEvent>().batches()) {
      for (const event of batch) touch(touchTwo(event))
    }
  },
  streams: () => {
    const entities = randomEntities(streamsRead, Infinity)
    return (store) => readStreams(store, entities)
  },
}

export interface HoldTask {
  /** Of an empty store to append to, or of a filled one to read. */
  readonly path: string
  readonly work: string
}

/** How long it holds the thread. */
export async function longestHoldOf({ path, work }: HoldTask): Promise<Hold> {
  const prepare = appending[work] ?? reading[work]
  if (prepare === undefined) throw new Error(`There is no work "${work}".`)
  await using store = await Store.open(path)
  const source = new EventSource()
  for (let run = 0; run < warmUps; run += 1) await prepare(source.next(eventsOfRun))(store)
  const prepared = prepare(source.next(eventsOfRun))
  // What preparing has left is not collected in the middle of the work.
  globalThis.gc?.()
  return await longestHold(() => prepared(store))
}
