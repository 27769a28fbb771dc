// What an open store's parts share: the native handle, and whether the store is closed.
import type { BatchSource } from './batch.js'
import type { NativeSource, NativeStore } from './binding.js'
import { closed, fromNative } from './errors.js'
import { keepHere } from './keep.js'
import { TextCache } from './texts.js'
import type { Bytes } from './types.js'

/** A read that waits for the engine, and can be told that it waits in vain. */
export interface Waiting {
  fail(error: unknown): void
}

/** Room for an answer that comes at once: twice what the engine packs without waiting. */
const ANSWER_BYTES = 128 << 10

/** What the engine gives if it cannot answer at once. */
const WOULD_WAIT = -1
/** Bytes that events read one by one share. Whoever keeps one of them keeps them all. */
const SLAB_BYTES = 16 << 10

/** Memory that the engine puts single events into, one behind the other. */
export class Slab {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Where the next event goes. */
  at = 0

  constructor(length: number) {
    const bytes = keepHere(Buffer.allocUnsafeSlow(length))
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, length)
  }
}

/** What the events of a store share. Outlives the store, for as long as there are events of it. */
class SharedSource implements BatchSource {
  readonly texts: TextCache
  readonly #native: NativeSource

  constructor(native: NativeSource) {
    this.#native = native
    this.texts = new TextCache((position, reference) => {
      try {
        return native.text(position, reference)
      } catch (error) {
        throw fromNative(error)
      }
    })
  }

  previousLinks(positions: Float64Array): Bytes {
    try {
      return this.#native.previousLinks(positions) as Bytes
    } catch (error) {
      throw fromNative(error)
    }
  }
}

export class Session {
  readonly #native: NativeStore
  // Asked for once: it costs a native call.
  readonly #handle: number
  // Only reads that wait right now: an iterator that was dropped must not be kept alive from here.
  readonly #waiting = new Set<Waiting>()
  #closed = false
  #source: BatchSource | undefined
  #answer: Buffer | undefined
  #slab: Slab | undefined

  constructor(native: NativeStore) {
    this.#native = native
    this.#handle = native.handle
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The native handle. Throws ERR_CLOSED after close(). */
  get native(): NativeStore {
    if (this.#closed) throw closed()
    return this.#native
  }

  /** What stands for the store in point reads. Throws ERR_CLOSED after close(). */
  get handle(): number {
    if (this.#closed) throw closed()
    return this.#handle
  }

  get source(): BatchSource {
    this.#source ??= new SharedSource(this.native.source())
    return this.#source
  }

  /** Where the engine puts single events. */
  get slab(): Slab {
    this.#slab ??= new Slab(SLAB_BYTES)
    return this.#slab
  }

  /** Has the engine put an event into the slab, or into a new one if it has no room: the event's length. */
  place(read: (slab: Slab) => number): number {
    const length = read(this.slab)
    if (length >= WOULD_WAIT) return length
    this.#slab = new Slab(Math.max(-length, SLAB_BYTES))
    return read(this.#slab)
  }

  /** Where the engine puts an answer that comes at once. */
  get answer(): Uint8Array {
    this.#answer ??= Buffer.allocUnsafeSlow(ANSWER_BYTES)
    return this.#answer
  }

  /** A copy of that answer. Short ones share memory, as all short buffers of Node do. */
  takeAnswer(length: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(length)
    this.#answer?.copy(bytes, 0, 0, length)
    return bytes
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
    this.#source = undefined
    this.#answer = undefined
    this.#slab = undefined
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const read of waiting) read.fail(closed())
    return this.#native
  }
}
