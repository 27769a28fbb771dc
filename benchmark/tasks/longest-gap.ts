// How long the JavaScript thread is held at a time: the longest gap between two turns of the event
// loop, each of which asks for the next at once. What the thread waited for a processor meanwhile
// does not count, where the system says how long that was.
import { closeSync, openSync, readSync } from 'node:fs'

/** Does the work and gives the longest gap in it, in ms. */
export async function longestGap(work: () => Promise<unknown>): Promise<number> {
  using waiting = new ProcessorWait()
  let longest = 0
  let waited = waiting.ms()
  let last = performance.now()
  let next: NodeJS.Immediate
  // The wait is read on both sides of the clock, as the thread may lose its processor in between.
  const look = () => {
    const waitedBefore = waiting.ms()
    const now = performance.now()
    longest = Math.max(longest, now - last - (waiting.ms() - waited))
    last = now
    waited = waitedBefore
  }
  const turn = () => {
    look()
    next = setImmediate(turn)
  }
  next = setImmediate(turn)
  try {
    await work()
  } finally {
    clearImmediate(next)
  }
  look()
  return longest
}

/** How long the main thread, which runs JavaScript, was ready and had no processor. Linux only;
 *  0 elsewhere. */
class ProcessorWait implements Disposable {
  readonly #file = openOrUndefined('/proc/self/schedstat')
  readonly #text = Buffer.alloc(64)

  ms(): number {
    if (this.#file === undefined) return 0
    const length = readSync(this.#file, this.#text, 0, this.#text.length, 0)
    const [, waitedNs = 0] = this.#text.toString('latin1', 0, length).split(' ').map(Number)
    return waitedNs / 1e6
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
