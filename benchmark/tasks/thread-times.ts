// What became of the main thread's time, which is the one that runs JavaScript. Looking makes next to
// no garbage, so that it can be done in every turn of the event loop.
import { closeSync, openSync, readSync } from 'node:fs'

const digit0 = 0x30

/** Linux only: elsewhere nothing is known, and both are 0. */
export class ThreadTimes implements Disposable {
  /** When it was looked: how long the thread had run, in ms. */
  ranMs = 0
  /** And how long it had been ready and had no processor. */
  waitedMs = 0
  readonly #file = openOrUndefined('/proc/self/schedstat')
  readonly #text = Buffer.alloc(64)
  #at = 0

  get isKnown(): boolean {
    return this.#file !== undefined
  }

  look(): void {
    if (this.#file === undefined) return
    // Linux brings the file up to date when a thread loses its processor, or is asked for its usage.
    process.cpuUsage()
    readSync(this.#file, this.#text, 0, this.#text.length, 0)
    this.#at = 0
    this.ranMs = this.#number() / 1e6
    this.waitedMs = this.#number() / 1e6
  }

  /** The next number of the text, without making a string of it. */
  #number(): number {
    let value = 0
    for (let byte = this.#text[this.#at] ?? 0; byte >= digit0; byte = this.#text[this.#at] ?? 0) {
      value = value * 10 + byte - digit0
      this.#at += 1
    }
    this.#at += 1
    return value
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file)
  }
}

function openOrUndefined(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch {
    return undefined
  }
}
