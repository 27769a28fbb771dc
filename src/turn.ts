// The turns of the event loop. What is answered on the spot resolves before timers, sockets and ticks
// get their turn; a loop that awaits such answers could go on for ever. So the answers of one turn, and
// the packing of arrays, have a limited time.
import { setImmediate } from 'node:timers'

// Behind it may come the last step, of up to a millisecond, and a garbage collection.
const TURN_MS = 0.5
// Arrays are packed in steps of some events: they need not leave as much room.
const PACKING_MS = 0.75

class Turn {
  readonly #limitMs: number
  /** When this turn was first asked about; negative before. */
  #started = -1
  #next: Promise<void> | undefined
  #onNext: (() => void) | undefined

  readonly #end = (): void => {
    this.#started = -1
    this.#onNext?.()
    this.#next = undefined
    this.#onNext = undefined
  }

  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  /** Whether the time for work on the spot is used up: it has to wait for the next turn. */
  isOver(): boolean {
    if (this.#started >= 0) return performance.now() - this.#started > this.#limitMs
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

/** Of this thread's event loop: for answers on the spot, and what waited for them. */
export const turn = new Turn(TURN_MS)

/** For packing arrays. */
export const packing = new Turn(PACKING_MS)
