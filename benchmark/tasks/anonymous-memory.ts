// How much memory of this process is not backed by a file.
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'

const sampleEveryMs = 10
/** V8 gives memory back beside the program, some time after it has collected. */
const collections = 4
const afterCollectionMs = 150

/** In KiB. */
export function anonymousMemory(): number {
  return parseAnonymousMemory(readFileSync('/proc/self/status', 'utf8'))
}

export function parseAnonymousMemory(status: string): number {
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN)
}

/** As `anonymousMemory`, but without what V8 could give back. Needs `--expose-gc`. */
export async function collectedMemory(): Promise<number> {
  for (let time = 0; time < collections; time += 1) {
    globalThis.gc?.()
    await setTimeout(afterCollectionMs)
  }
  return anonymousMemory()
}

/** The highest of samples, which are taken when it is asked to and not more often than makes sense. */
export class MemoryPeak {
  #highest = anonymousMemory()
  #next = 0

  sample(): void {
    const now = performance.now()
    if (now < this.#next) return
    this.#next = now + sampleEveryMs
    this.#highest = Math.max(this.#highest, anonymousMemory())
  }

  /** In KiB. */
  get highest(): number {
    this.#next = 0
    this.sample()
    return this.#highest
  }
}
