// What an open store's parts share: the native handle, and whether the store is closed.
import type { NativeStore } from './binding.js'
import { closed } from './errors.js'

/** A read that waits for the engine, and can be told that it waits in vain. */
export interface Waiting {
  fail(error: unknown): void
}

export class Session {
  readonly #native: NativeStore
  // Only reads that wait right now: an iterator that was dropped must not be kept alive from here.
  readonly #waiting = new Set<Waiting>()
  #closed = false

  constructor(native: NativeStore) {
    this.#native = native
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The native handle. Throws ERR_CLOSED after close(). */
  get native(): NativeStore {
    if (this.#closed) throw closed()
    return this.#native
  }

  wait(read: Waiting): void {
    this.#waiting.add(read)
  }

  done(read: Waiting): void {
    this.#waiting.delete(read)
  }

  /** Ends the reads that wait, and refuses what comes later; gives the handle to close. */
  close(): NativeStore {
    this.#closed = true
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const read of waiting) read.fail(closed())
    return this.#native
  }
}
