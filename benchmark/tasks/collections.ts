// The garbage collections of this thread while it is watched, as V8 reports them.
import { PerformanceObserver } from 'node:perf_hooks'

/** In ms, by the clock of `performance.now()`. */
export interface Interval {
  readonly start: number
  readonly end: number
}

// They are told by a task of the event loop, which comes a turn or two later.
const toldAfterMs = 10

export class Collections implements Disposable {
  readonly #seen: Interval[] = []
  readonly #observer = new PerformanceObserver((list) => {
    for (const { startTime: start, duration } of list.getEntries()) {
      this.#seen.push({ start, end: start + duration })
    }
  })

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] })
  }

  async all(): Promise<readonly Interval[]> {
    await new Promise((resolve) => setTimeout(resolve, toldAfterMs))
    return this.#seen
  }

  [Symbol.dispose](): void {
    this.#observer.disconnect()
  }
}
