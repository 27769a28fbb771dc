// The longest appends of a run, and what the threads of the process did meanwhile: how long each ran,
// how long it was ready and had no processor, and in which function of the kernel it was found while it
// slept. Linux only; elsewhere only how long they took.
import { Threads, type ThreadTimes } from './threads.js'

const kept = 20
const lookEveryMs = 4
const lookBackMs = 2000
/** Nothing shorter is worth keeping. */
const shortestMs = 5
/** Appends that end together had one reason, and the longest of them stands for all. */
const togetherMs = 100

export interface Stall {
  /** When the append was asked for, from the start of the run. */
  readonly atMs: number
  readonly ms: number
  /** A segment began in it, or in an append that it waited for. */
  readonly isRotation: boolean
  readonly threads: readonly ThreadShare[]
}

/** What a group of threads did during an append, all of them together. */
export interface ThreadShare {
  readonly name: string
  readonly ranMs: number
  /** Ready, but without a processor. */
  readonly waitedMs: number
  /** How often a thread was found in a function of the kernel, of how many looks. */
  readonly slept: Readonly<Record<string, number>>
  readonly looks: number
}

interface Look {
  readonly at: number
  readonly threads: readonly ThreadTimes[]
}

interface Found {
  readonly asked: number
  readonly ms: number
  readonly position: number
  readonly threads: readonly ThreadShare[]
}

export class Stalls implements Disposable {
  readonly #threads = new Threads()
  readonly #timer = setInterval(() => this.#look(), lookEveryMs)
  #looks: Look[] = []
  /** The longest first. */
  #found: Found[] = []
  #last: Found | undefined
  #shortest = shortestMs

  constructor() {
    this.#timer.unref()
  }

  add(asked: number, ms: number, position: number): void {
    if (ms < this.#shortest) return
    const last = this.#last
    const isTogether = last !== undefined && asked + ms - (last.asked + last.ms) < togetherMs
    if (isTogether && ms <= last.ms) return
    this.#look()
    const found = { asked, ms, position, threads: this.#during(asked) }
    const others = isTogether ? this.#found.filter((other) => other !== last) : this.#found
    this.#found = [...others, found].sort((a, b) => b.ms - a.ms).slice(0, kept)
    this.#last = found
    if (this.#found.length === kept) this.#shortest = this.#found.at(-1)?.ms ?? shortestMs
  }

  /** The longest first. `starts` are the positions at which segments begin, of which one counts for
   *  appends whose events are at most so many away. */
  longest(started: number, starts: readonly number[], near: number): Stall[] {
    return this.#found.map(({ asked, ms, position, threads }) => {
      const isRotation = starts.some((start) => Math.abs(start - position) <= near)
      return { atMs: asked - started, ms, isRotation, threads }
    })
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#threads[Symbol.dispose]()
  }

  #look(): void {
    const at = performance.now()
    this.#looks.push({ at, threads: this.#threads.look() })
    if (this.#looks.length > (2 * lookBackMs) / lookEveryMs) {
      this.#looks = this.#looks.filter((look) => look.at > at - lookBackMs)
    }
  }

  /** From the last look before a moment until now. */
  #during(asked: number): ThreadShare[] {
    const before = this.#looks.findLastIndex((look) => look.at <= asked)
    const looks = this.#looks.slice(Math.max(before, 0))
    const [first, last] = [looks[0], looks.at(-1)]
    if (first === undefined || last === undefined) return []
    return last.threads.map(({ name, ranMs, waitedMs }, index) => {
      const start = first.threads[index] ?? { ranMs, waitedMs }
      const slept: Record<string, number> = {}
      for (const look of looks) {
        for (const place of look.threads[index]?.places ?? []) {
          slept[place] = (slept[place] ?? 0) + 1
        }
      }
      return {
        ...{ name, slept, looks: looks.length },
        ...{ ranMs: ranMs - start.ranMs, waitedMs: waitedMs - start.waitedMs },
      }
    })
  }
}
