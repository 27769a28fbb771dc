// Reads. A reading is a description; a cursor is one read of it, at one head. Iterators are made by
// hand, for an async generator costs more than decoding an event does.
import { offAbort, onAbort } from './abort.js'
import { type BatchSource, type Decoded, isLast } from './batch.js'
import type { NativeRead } from './binding.js'
import { closed, fromNative } from './errors.js'
import { keepHere } from './keep.js'
import type { Session, Waiting } from './session.js'
import { turn } from './turn.js'
import type { Reading } from './types.js'

/** Items given out at once to whoever takes them one by one: every field of so many takes half a millisecond. */
const PART_ITEMS = 512
/** And to whoever wants batches: most are not longer. */
const BATCH_ITEMS = 1024

/** What a reading reads. */
export interface Plan<T> {
  readonly session: Session
  readonly limit: number | undefined
  readonly signal: AbortSignal | undefined
  /** The packed description, for at most so many. */
  spec(limit: number | undefined): Uint8Array
  decode(bytes: Uint8Array, source: BatchSource): Decoded<T>
}

interface Waiter {
  resolve(value: undefined): void
  reject(error: unknown): void
}

/**
 * One read. Its calls must not overlap; it fails at most once, and has ended then. It listens to its
 * signal, and is known to its session, only while it waits: so one that is dropped in the middle of
 * a loop is free to go.
 */
export class Cursor<T> implements Waiting {
  readonly #plan: Plan<T>
  readonly #limit: number | undefined
  readonly #partItems: number
  #native: NativeRead | undefined
  #source: BatchSource | undefined
  #ahead: Promise<Uint8Array | null> | undefined
  #waiter: Waiter | undefined
  // The batch that is being given out, and how many of its items are.
  #batch: Decoded<T> | undefined
  #given = 0
  #head = -1
  #left: number
  #ended = false

  readonly #onAbort = (): void => {
    this.fail(this.#plan.signal?.reason)
  }

  constructor(plan: Plan<T>, limit: number | undefined = plan.limit, partItems = PART_ITEMS) {
    this.#plan = plan
    this.#partItems = partItems
    this.#limit = limit
    this.#left = limit ?? Number.POSITIVE_INFINITY
  }

  /** The next pull will reject, whatever has been read already. */
  get stopped(): boolean {
    const { session, signal } = this.#plan
    return !this.#ended && (session.closed || signal?.aborted === true)
  }

  /**
   * The next items, or undefined at the end. Of a long batch they are a part: whoever goes through them
   * may take long for each, and the event loop has its turn between two parts. The batch behind is asked
   * for when the first part is given.
   */
  pull(): Promise<T[] | undefined> {
    if (this.#ended) return Promise.resolve(undefined)
    if (this.#batch !== undefined) return this.#pullPart(this.#batch)
    if (this.#left <= 0) return this.#nothing(undefined)
    if (this.#native === undefined) {
      if (turn.isOver()) return turn.next().then(() => this.pull())
      try {
        const bytes = this.#readNow()
        if (bytes !== undefined) return Promise.resolve(this.#take(bytes))
      } catch (error) {
        this.cancel()
        return Promise.reject(error)
      }
    }
    return this.#ask(
      (native) => {
        const next = this.#ahead ?? native.next()
        this.#ahead = undefined
        return next
      },
      (bytes) => this.#take(bytes),
    )
  }

  #pullPart(batch: Decoded<T>): Promise<T[] | undefined> {
    if (turn.isOver()) return turn.next().then(() => this.pull())
    try {
      this.#check()
      return Promise.resolve(this.#part(batch))
    } catch (error) {
      this.cancel()
      return Promise.reject(error)
    }
  }

  #part(batch: Decoded<T>): T[] {
    const from = this.#given
    const to = Math.min(from + this.#partItems, batch.count)
    this.#given = to
    this.#batch = to < batch.count ? batch : undefined
    return batch.items(from, to)
  }

  /** The first batch, if the engine has it at once; else the read begins with the next call. */
  #readNow(): Uint8Array | undefined {
    this.#check()
    const { session } = this.#plan
    const { native } = session
    try {
      const length = native.readNow(this.#plan.spec(this.#limit), session.answer)
      const bytes = length < 0 ? undefined : session.takeAnswer(length)
      if (bytes === undefined || !isLast(bytes)) this.#native = native.begun()
      return bytes
    } catch (error) {
      throw fromNative(error)
    }
  }

  /** The first items of a batch; undefined if it is the end. */
  #take(bytes: Uint8Array | null): T[] | undefined {
    if (bytes === null) {
      this.cancel()
      return undefined
    }
    this.#source ??= sourceOf(this.#plan.session.source, this.#native)
    const batch = this.#plan.decode(keepHere(bytes), this.#source)
    const { count, last, head } = batch
    this.#head = head
    this.#left = last ? 0 : this.#left - count
    if (this.#left > 0) this.#readAhead()
    this.#given = 0
    // The time of this turn begins here: what is given out now may take long.
    if (count > this.#partItems) turn.isOver()
    if (count > 0) return this.#part(batch)
    this.cancel()
    return undefined
  }

  #readAhead(): void {
    this.#ahead = this.#native?.next()
    // Whoever pulls next gets the error; if nobody does, it must not count as unhandled.
    this.#ahead?.then(undefined, () => {})
  }

  count(): Promise<number> {
    if (this.#limit === 0) return this.#nothing(0)
    if (turn.isOver()) return turn.next().then(() => this.count())
    try {
      const count = this.#countNow()
      if (Number.isNaN(count)) return this.#last((native) => native.count())
      this.cancel()
      return Promise.resolve(count)
    } catch (error) {
      this.cancel()
      return Promise.reject(error)
    }
  }

  #countNow(): number {
    this.#check()
    try {
      return this.#plan.session.native.countNow(this.#plan.spec(this.#limit))
    } catch (error) {
      throw fromNative(error)
    }
  }

  explain(): Promise<string> {
    return this.#last((native) => native.explain())
  }

  /** The head that bounds this read, once a pull has resolved; -1 of an empty log. */
  get head(): number {
    return this.#head
  }

  /** Frees everything but what links need; a pull that waits is at its end. */
  cancel(): void {
    if (this.#ended) return
    this.#ended = true
    this.#ahead = undefined
    this.#batch = undefined
    this.#native?.cancel()
    this.#stopWaiting()?.resolve(undefined)
  }

  /** Ends the read with an error for whoever waits. */
  fail(error: unknown): void {
    const waiter = this.#stopWaiting()
    this.cancel()
    waiter?.reject(error)
  }

  #last<R>(call: (native: NativeRead) => Promise<R>): Promise<R> {
    return this.#ask(call, (value) => {
      this.cancel()
      return value
    })
  }

  /** Of a read that has nothing to give. */
  #nothing<R>(value: R): Promise<R> {
    try {
      this.#check()
    } catch (error) {
      return Promise.reject(error)
    } finally {
      this.cancel()
    }
    return Promise.resolve(value)
  }

  #check(): void {
    const { session, signal } = this.#plan
    if (session.closed) throw closed()
    if (signal?.aborted) throw signal.reason
  }

  #begin(): NativeRead {
    this.#check()
    try {
      this.#native ??= this.#plan.session.native.read(this.#plan.spec(this.#limit))
    } catch (error) {
      throw fromNative(error)
    }
    return this.#native
  }

  /** Waits for a native call, an abort or the store's close(), whichever is first. */
  #ask<V, R>(call: (native: NativeRead) => Promise<V>, map: (value: V) => R): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const answer = call(this.#begin())
      const waiter = { resolve: resolve as Waiter['resolve'], reject }
      this.#waiter = waiter
      this.#plan.session.wait(this)
      onAbort(this.#plan.signal, this.#onAbort)
      answer.then(
        (value) => {
          if (this.#waiter !== waiter) return
          this.#stopWaiting()
          try {
            resolve(map(value))
          } catch (error) {
            this.fail(error)
            reject(fromNative(error))
          }
        },
        (error: unknown) => {
          if (this.#waiter === waiter) this.fail(fromNative(error))
        },
      )
    }).catch((error: unknown) => {
      this.cancel()
      throw error
    })
  }

  #stopWaiting(): Waiter | undefined {
    const waiter = this.#waiter
    if (waiter === undefined) return undefined
    this.#waiter = undefined
    this.#plan.session.done(this)
    offAbort(this.#plan.signal, this.#onAbort)
    return waiter
  }
}

/** As the source of all events, but a read whose events are asked for previous links sends them along. */
function sourceOf(source: BatchSource, native: NativeRead | undefined): BatchSource {
  if (native === undefined) return source
  return {
    texts: source.texts,
    previousLinks(positions) {
      native.wantPreviousLinks()
      return source.previousLinks(positions)
    },
  }
}

const END: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined })

type Result<T> = IteratorResult<T, undefined>

class BatchIterator<T> implements AsyncIterableIterator<readonly T[], undefined> {
  readonly #cursor: Cursor<T>
  #last: Promise<unknown> | undefined

  constructor(cursor: Cursor<T>) {
    this.#cursor = cursor
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  // Calls may overlap, those of the cursor may not: each waits for the one before it.
  next(): Promise<Result<readonly T[]>> {
    const pull = () => this.#cursor.pull().then(toResult<T>)
    const result = this.#last === undefined ? pull() : this.#last.then(pull, pull)
    this.#last = result
    return result
  }

  return(): Promise<Result<readonly T[]>> {
    this.#cursor.cancel()
    return Promise.resolve(END)
  }
}

function toResult<T>(batch: T[] | undefined): Result<readonly T[]> {
  return batch === undefined ? END : { done: false, value: batch }
}

class ItemIterator<T> implements AsyncIterableIterator<T, undefined> {
  readonly #cursor: Cursor<T>
  #items: readonly T[] = []
  #index = 0
  #filling: Promise<T[] | undefined> | undefined

  constructor(cursor: Cursor<T>) {
    this.#cursor = cursor
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Result<T>> {
    if (this.#index < this.#items.length && !this.#cursor.stopped) {
      return Promise.resolve({ done: false, value: this.#items[this.#index++] as T })
    }
    return this.#fill()
  }

  #fill(): Promise<Result<T>> {
    const again = () => this.next()
    if (this.#filling !== undefined) return this.#filling.then(again, again)
    this.#items = []
    this.#index = 0
    const filling = this.#cursor.pull()
    this.#filling = filling
    return filling.then(
      (items) => {
        this.#filling = undefined
        if (items === undefined) return END
        this.#items = items
        return this.next()
      },
      (error: unknown) => {
        this.#filling = undefined
        throw error
      },
    )
  }

  return(): Promise<Result<T>> {
    this.#items = []
    this.#cursor.cancel()
    return Promise.resolve(END)
  }
}

/** A description of a read; the reads themselves are cursors. */
export abstract class BaseReading<T> implements Reading<T> {
  protected abstract plan(): Plan<T>

  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined> {
    return new ItemIterator(new Cursor(this.plan()))
  }

  batches(): AsyncIterable<readonly T[], undefined> {
    return {
      [Symbol.asyncIterator]: () => {
        const plan = this.plan()
        return new BatchIterator(new Cursor(plan, plan.limit, BATCH_ITEMS))
      },
    }
  }

  toArray(): Promise<T[]> {
    return readAll(new Cursor(this.plan()))
  }

  first(): Promise<T | undefined> {
    const plan = this.plan()
    const cursor = new Cursor(plan, plan.limit === 0 ? 0 : 1)
    return cursor.pull().then((items) => {
      cursor.cancel()
      return items?.[0]
    })
  }

  count(): Promise<number> {
    return new Cursor(this.plan()).count()
  }
}

/** Everything that a cursor has. */
export async function readAll<T>(cursor: Cursor<T>): Promise<T[]> {
  const first = await cursor.pull()
  if (first === undefined) return []
  for (let items = await cursor.pull(); items !== undefined; items = await cursor.pull()) {
    for (const item of items) first.push(item)
  }
  return first
}

/** A reading of a fixed plan. */
export class PlainReading<T> extends BaseReading<T> {
  readonly #plan: Plan<T>

  constructor(plan: Plan<T>) {
    super()
    this.#plan = plan
  }

  protected plan(): Plan<T> {
    return this.#plan
  }
}
