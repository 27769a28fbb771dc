// Appends without a pause for some time: what each second of it was like, and the longest appends.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Durability, Store } from 'tetralog'
import { batchSize } from '../contenders/subjects.js'
import { callers } from '../measurements/append-callers.js'
import { EventSource, payloadBytes, type WorkloadEvent } from '../workload.js'
import { MemoryPeak } from './anonymous-memory.js'
import { segmentStarts } from './segment-starts.js'
import { Stalls } from './stalls.js'

interface Way {
  readonly durability: Durability
  /** Events of one append. */
  readonly size: number
  /** Appends in flight. */
  readonly loops: number
  readonly payloadBytes: number
  /** About what an event takes on the disk. */
  readonly eventBytes: number
  /** About what the store writes between two syncs. */
  readonly bytesPerSync: number
}

const inBatches = { durability: 'interval', size: batchSize, loops: 4 } as const

export const ways = {
  batches: { ...inBatches, payloadBytes, eventBytes: 352, bytesPerSync: 1 << 20 },
  'small batches': { ...inBatches, payloadBytes: 16, eventBytes: 112, bytesPerSync: 1 << 19 },
  callers: {
    ...{ durability: 'sync', size: 1, loops: callers, payloadBytes },
    ...{ eventBytes: 352, bytesPerSync: callers * 352 },
  },
} satisfies Readonly<Record<string, Way>>
export type Manner = keyof typeof ways
export const manners = Object.keys(ways) as readonly Manner[]

export interface FlatOut {
  readonly path: string
  readonly manner: Manner
  readonly seconds: number
  /** So many events a second at most. */
  readonly pace: number
}

export interface Second {
  readonly events: number
  /** The longest that one append took which ended in this second. */
  readonly longestMs: number
  /** What all threads of the process spent, the making of the events included. */
  readonly cpuMs: number
}

export async function flatOut({ path, manner, seconds, pace }: FlatOut) {
  const { durability, size, loops, payloadBytes: payload } = ways[manner]
  const source = new EventSource({ payloadBytes: payload })
  const store = await Store.open(path, { durability })
  const peak = new MemoryPeak()
  const seen = new Seconds()
  using stalls = new Stalls()
  const started = performance.now()
  let made = 0
  // All loops draw from one source: appends are taken in the order in which they are called.
  const loop = async () => {
    for (let asked = started; asked - started < seconds * 1000; ) {
      const early = started + (made / pace) * 1000 - asked
      if (early > 1) await sleep(early)
      made += size
      const batch = source.next(size)
      asked = performance.now()
      const { position } = await store.append<WorkloadEvent>(batch)
      const ms = performance.now() - asked
      seen.add(size, ms)
      stalls.add(asked, ms, position)
      peak.sample()
    }
  }
  await Promise.all(Array.from({ length: loops }, loop))
  await store.close()
  const longest = stalls.longest(started, segmentStarts(path), loops * size)
  return { samples: seen.whole, longest, memory: { peak: peak.highest } }
}

/** Sums what happens, second by second. */
class Seconds {
  /** Those that are over. */
  readonly whole: Second[] = []
  #events = 0
  #longestMs = 0
  #end = performance.now() + 1000
  #cpu = process.cpuUsage()

  add(events: number, ms: number): void {
    const now = performance.now()
    while (now >= this.#end) this.#finish()
    this.#events += events
    this.#longestMs = Math.max(this.#longestMs, ms)
  }

  #finish(): void {
    const { user, system } = process.cpuUsage(this.#cpu)
    this.#cpu = process.cpuUsage()
    const cpuMs = (user + system) / 1000
    this.whole.push({ events: this.#events, longestMs: this.#longestMs, cpuMs })
    this.#events = 0
    this.#longestMs = 0
    this.#end += 1000
  }
}
