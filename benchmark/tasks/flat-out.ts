// Appends without a pause for some time, and what each second of it was like.
import { Store } from 'tetralog'
import { batchSize } from '../contenders/subjects.js'
import { callers } from '../measurements/append-callers.js'
import { EventSource, type WorkloadEvent } from '../workload.js'
import { MemoryPeak } from './anonymous-memory.js'

export type Manner = 'batches' | 'callers'

export interface FlatOut {
  readonly path: string
  readonly manner: Manner
  readonly seconds: number
  /** It ends before its time when the store has that many bytes. */
  readonly mostBytes: number
}

export interface Second {
  readonly events: number
  /** The longest that one append took which ended in this second. */
  readonly longestMs: number
}

const batchesInFlight = 4
const eventBytes = 350

export async function flatOut({ path, manner, seconds, mostBytes }: FlatOut) {
  const isBatches = manner === 'batches'
  const size = isBatches ? batchSize : 1
  const source = new EventSource()
  const store = await Store.open(path, { durability: isBatches ? 'interval' : 'sync' })
  const peak = new MemoryPeak()
  const seen = new Seconds()
  const started = performance.now()
  let left = Math.floor(mostBytes / eventBytes)
  // All loops draw from one source: appends are taken in the order in which they are called.
  const loop = async () => {
    while (left > 0 && performance.now() - started < seconds * 1000) {
      left -= size
      const batch = source.next(size)
      const asked = performance.now()
      await store.append<WorkloadEvent>(batch)
      seen.add(size, performance.now() - asked)
      peak.sample()
    }
  }
  const loops = isBatches ? batchesInFlight : callers
  await Promise.all(Array.from({ length: loops }, loop))
  await store.close()
  return { samples: seen.whole, memory: { peak: peak.highest } }
}

/** Sums what happens, second by second. */
class Seconds {
  /** Those that are over. */
  readonly whole: Second[] = []
  #events = 0
  #longestMs = 0
  #end = performance.now() + 1000

  add(events: number, ms: number): void {
    for (const now = performance.now(); now >= this.#end; this.#end += 1000) {
      this.whole.push({ events: this.#events, longestMs: this.#longestMs })
      this.#events = 0
      this.#longestMs = 0
    }
    this.#events += events
    this.#longestMs = Math.max(this.#longestMs, ms)
  }
}
