// The turns of the event loop. What is answered on the spot resolves before timers, sockets and ticks
// get their turn; a loop that awaits such answers could go on for ever. So the answers of one turn have
// a limited time.
import { setImmediate } from 'node:timers'

const TURN_MS = 1

class Turn {
  /** When the first answer of this turn was given; negative before. */
  #started = -1
  #next: Promise<void> | undefined
  #onNext: (() => void) | undefined

  readonly #end = (): void => {
    this.#started = -1
    this.#onNext?.()
    this.#next = undefined
    this.#onNext = undefined
  }

  /** Whether the time for answers on the spot is used up: they have to wait for the next turn. */
  isOver(): boolean {
    if (this.#started >= 0) return performance.now() - this.#started > TURN_MS
    this.#started = performance.now()
    setImmediate(this.#end)
    return false
  }

  /** When the next turn has come. */
  next(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      this.#onNext = resolve
    })
    return this.#next
  }
}

/** Of this thread's event loop. */
export const turn = new Turn()
