// Who waits for an abort. However many they are, a signal has one listener of ours: Node warns of more than ten,
// as of a leak.
type Callback = () => void

class Waiters {
  readonly #signal: AbortSignal
  readonly #callbacks = new Set<Callback>()

  readonly #onAbort = (): void => {
    for (const callback of [...this.#callbacks]) callback()
  }

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  add(callback: Callback): void {
    if (this.#callbacks.size === 0) this.#signal.addEventListener('abort', this.#onAbort)
    this.#callbacks.add(callback)
  }

  delete(callback: Callback): void {
    if (!this.#callbacks.delete(callback) || this.#callbacks.size > 0) return
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}

const waiters = new WeakMap<AbortSignal, Waiters>()

/** Calls back, which must not throw, when the signal is aborted, until `offAbort`. */
export function onAbort(signal: AbortSignal | undefined, callback: Callback): void {
  if (signal === undefined) return
  let those = waiters.get(signal)
  if (those === undefined) {
    those = new Waiters(signal)
    waiters.set(signal, those)
  }
  those.add(callback)
}

/** Calls back no more. */
export function offAbort(signal: AbortSignal | undefined, callback: Callback): void {
  if (signal !== undefined) waiters.get(signal)?.delete(callback)
}
