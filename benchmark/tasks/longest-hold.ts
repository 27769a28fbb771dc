// How long the JavaScript thread is held at a time: the gaps between two turns of the event loop, each
// of which asks for the next at once, and what they consist of.
import { Collections, type Interval } from './collections.js'
import { ThreadTimes } from './thread-times.js'

/** In ms. The longest of each need not be of the same gap. */
export interface Hold {
  /** The gap without what the thread waited for a processor: how long it was held. */
  readonly held: number
  /** The gap, by the clock on the wall. */
  readonly gap: number
  /** What V8 took to collect garbage, waiting for its helping threads included. */
  readonly collecting: number
  /** What the thread worked in it otherwise: its processor time, without that of the collection. */
  readonly own: number
}

/** A gap between two turns. */
export interface Gap extends Interval {
  readonly ranMs: number
  readonly waitedMs: number
}

// Shorter ones are not kept: keeping them would make garbage.
const shortestKeptMs = 0.2

/** Does the work and gives the longest of its holds. */
export async function longestHold(work: () => Promise<unknown>): Promise<Hold> {
  using collections = new Collections()
  const gaps = await gapsOf(work)
  return longest(gaps, await collections.all())
}

async function gapsOf(work: () => Promise<unknown>): Promise<Gap[]> {
  using before = new ThreadTimes()
  using after = new ThreadTimes()
  using check = new ThreadTimes()
  const gaps: Gap[] = []
  const turn = () => {
    look()
    next = setImmediate(turn)
  }
  // What the thread waits between the clock and its times would count as held: then both are read again.
  const read = (times: ThreadTimes) => {
    for (;;) {
      times.look()
      const now = performance.now()
      check.look()
      if (check.waitedMs === times.waitedMs) return now
    }
  }
  const look = () => {
    const end = read(after)
    if (end - start >= shortestKeptMs) {
      const ranMs = before.isKnown ? after.ranMs - before.ranMs : end - start
      gaps.push({ start, end, ranMs, waitedMs: after.waitedMs - before.waitedMs })
    }
    start = read(before)
  }
  let start = read(before)
  let next = setImmediate(turn)
  try {
    await work()
  } finally {
    clearImmediate(next)
  }
  look()
  return gaps
}

export function longest(gaps: readonly Gap[], collections: readonly Interval[]): Hold {
  const hold = { held: 0, gap: 0, collecting: 0, own: 0 }
  for (const { start, end, ranMs, waitedMs } of gaps) {
    const gap = end - start
    const collecting = overlap(collections, start, end)
    // How much of a collection was waiting is not known: each bound holds, so the lower one does.
    const own = Math.min(ranMs, gap - Math.max(waitedMs, collecting))
    hold.held = Math.max(hold.held, gap - waitedMs)
    hold.gap = Math.max(hold.gap, gap)
    hold.collecting = Math.max(hold.collecting, collecting)
    hold.own = Math.max(hold.own, own)
  }
  return hold
}

/** How much of the time from `start` to `end` is in intervals that do not overlap each other. */
function overlap(intervals: readonly Interval[], start: number, end: number): number {
  let sum = 0
  for (const each of intervals) {
    sum += Math.max(Math.min(each.end, end) - Math.max(each.start, start), 0)
  }
  return sum
}
