// Waking an event loop that sleeps takes longer than many an append: for a moment after work was
// handed over, the loop is kept from sleeping, so that it takes the outcome up at once. Everything
// else in the loop gets its turn meanwhile.
import { setImmediate } from 'node:timers'

const AWAKE_MS = 0.6

export class Wakeful {
  readonly #isWanted: () => boolean
  #until = 0
  #scheduled = false

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#isWanted() && performance.now() < this.#until) this.#schedule()
  }

  /** Staying awake ends as soon as it is not wanted any more. */
  constructor(isWanted: () => boolean) {
    this.#isWanted = isWanted
  }

  stay(): void {
    this.#until = performance.now() + AWAKE_MS
    if (!this.#scheduled) this.#schedule()
  }

  #schedule(): void {
    this.#scheduled = true
    setImmediate(this.#turn)
  }
}
