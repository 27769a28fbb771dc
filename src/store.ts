// The store: a thin face over the native handle.
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { AppendQueue } from './append-queue.js'
import { type BatchSource, type Decoded, decodeEntities } from './batch.js'
import type { NativeOpening, NativeStore } from './binding.js'
import { eventNow, latestNow, nativeStore, versionNow } from './binding.js'
import { closed, fromNative, invalidArgument, toDamage } from './errors.js'
import { decodeEvent, decodeEvents } from './event.js'
import { checkFilters, EVERYTHING } from './filter.js'
import { keepHere } from './keep.js'
import { type Watching, watched } from './opening.js'
import {
  abortSignal,
  integer,
  memoryOptions,
  type NativeOptions,
  readFields,
  storeOptions,
} from './options.js'
import { describe, wellFormed } from './packer.js'
import { LogQuery } from './query.js'
import { PlainReading } from './reading.js'
import { repair } from './repair.js'
import { Session, type Slab } from './session.js'
import { turn } from './turn.js'
import type {
  AppendOptions,
  Damage,
  EntityInfo,
  EntityOptions,
  EventType,
  Filter,
  MemoryOptions,
  NewEvent,
  OneOrMore,
  Query,
  QueryOptions,
  Reading,
  ReadOptions,
  Receipt,
  RecordedEvent,
  Recovery,
  RepairOptions,
  RepairReport,
  StoreOptions,
  StoreStats,
  VerifyOptions,
  VerifyReport,
} from './types.js'
import { verify } from './verify.js'
import {
  allSpec,
  entitiesSpec,
  queryWindowOf,
  readWindow,
  streamSpec,
  type Window,
} from './window.js'

interface Info {
  readonly id: string
  readonly readOnly: boolean
  readonly damage: readonly Damage[]
  readonly recovery: Recovery
}

// The constructor is private to the types; this makes it so at run time.
const INTERNAL = Symbol('internal')
const UNWATCHED: Watching = { signal: undefined, onProgress: undefined }

/**
 * An event store: one log, and an index for each of an event's four coordinates.
 *
 * @example
 * ```ts
 * import { Store } from 'tetralog'
 *
 * const store = await Store.open('./data')
 * await store.append({ entity: 'order:1', fact: 'placed', payload: { total: 3 } })
 * for await (const event of store.stream('order:1')) console.log(event.fact, event.payload)
 * await store.close()
 * ```
 */
export class Store implements AsyncDisposable {
  readonly #native: NativeStore
  readonly #session: Session
  readonly #queue: AppendQueue
  readonly #path: string | undefined
  #infoText = ''
  #info!: Info
  #closing: Promise<void> | undefined

  private constructor(
    internal: symbol,
    native: NativeStore,
    queue: AppendQueue,
    path: string | undefined,
  ) {
    if (internal !== INTERNAL) {
      throw invalidArgument('new Store()', 'is not how stores are made: use Store.open(path)')
    }
    this.#native = native
    this.#session = new Session(native)
    this.#queue = queue
    this.#path = path
    queue.attach(native)
    this.#readInfo()
  }

  /**
   * Opens the store in a directory, or makes one there.
   *
   * One writer at a time; with `readOnly: true` any number of openers follow it, in any process.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * await using store = await Store.open('./data', { durability: 'interval' })
   * console.log(await store.head()) // -1 in a new store
   * ```
   * @throws {TetralogError} ERR_LOCKED if another writer has it open; ERR_FORMAT if the directory
   * holds something else; ERR_IO, ERR_DISK_FULL; ERR_INVALID_ARGUMENT.
   */
  static async open(path: string | URL, options?: StoreOptions): Promise<Store> {
    const directory = directoryOf(path)
    const native = storeOptions(options)
    return Store.#make(native, directory, native, (queue, opening) =>
      nativeStore.open(
        directory,
        native.durability,
        native.readOnly,
        native.fsyncIntervalMs,
        native.fsyncEventCount,
        native.maxInFlightBytes,
        native.maxPayloadBytes,
        native.segmentMaxBytes,
        opening,
        queue.onOutcomes,
      ),
    )
  }

  /**
   * Makes a store in memory, which is gone when it is closed. It is the same engine over another
   * file system, so it behaves like one on disk.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.memory()
   * await store.append({ entity: 'order:1', fact: 'placed' })
   * await store.close()
   * ```
   */
  static async memory(options?: MemoryOptions): Promise<Store> {
    const native = memoryOptions(options)
    return Store.#make(native, undefined, UNWATCHED, (queue) =>
      nativeStore.memory(native.maxPayloadBytes, native.segmentMaxBytes, queue.onOutcomes),
    )
  }

  static async #make(
    options: NativeOptions,
    path: string | undefined,
    watching: Watching,
    open: (queue: AppendQueue, opening: NativeOpening) => Promise<NativeStore>,
  ): Promise<Store> {
    const queue = new AppendQueue(options.maxPayloadBytes)
    const discard = (native: NativeStore): Promise<void> => native.close()
    const native = await watched(watching, (opening) => open(queue, opening), discard)
    return new Store(INTERNAL, native, queue, path)
  }

  #readInfo(): Info {
    if (this.#session.closed) return this.#info
    const text = this.#native.info()
    if (text !== this.#infoText) {
      const { id, readOnly, damage, recovery } = JSON.parse(text) as Info
      this.#info = {
        id,
        readOnly,
        damage: Object.freeze(damage.map(toDamage)),
        recovery: Object.freeze(recovery),
      }
      this.#infoText = text
    }
    return this.#info
  }

  /**
   * Repairs a damaged store that nobody has open, or with `dryRun` says what that would do and lose.
   *
   * Changed bytes are put right where checksums prove which they are, a lost manifest or seal is
   * written again; that loses nothing. Where bytes are gone, the log is cut before them: positions
   * have no gaps. Files that change are kept as they were, in `damaged/` of the store's directory.
   * What comes out was verified before anything was changed.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.open('./data')
   * await store.close()
   * const plan = await Store.repair('./data', { dryRun: true })
   * console.log(plan.damage.length, plan.lost.events) // 0 0: nothing to do
   * ```
   * @throws {TetralogError} ERR_LOCKED if a writer has it open; ERR_FORMAT if it is of a newer
   * version; ERR_CORRUPT if too little is left; ERR_IO, ERR_DISK_FULL; ERR_INVALID_ARGUMENT.
   */
  static async repair(path: string | URL, options?: RepairOptions): Promise<RepairReport> {
    return repair(directoryOf(path), options)
  }

  /** A UUID made with the store: keep it beside every checkpoint. */
  get id(): string {
    return this.#info.id
  }

  /** Whether appends are refused: asked for when opening, or because of damage. */
  get readOnly(): boolean {
    return this.#readInfo().readOnly
  }

  /** Damage found when opening or since; empty in a healthy store. */
  get damage(): readonly Damage[] {
    return this.#readInfo().damage
  }

  /** What opening had to do. */
  get recovery(): Recovery {
    return this.#info.recovery
  }

  /**
   * Appends one event or a batch, all or nothing. Resolves when it is as durable as the store's
   * `durability` says; appends settle in the order of the calls.
   *
   * One event, or up to 32, are copied before the call returns and may be changed then, if no payload has
   * more than a MiB. What is larger may be copied over several turns of the event loop, so that none of them
   * takes long: the events, and the bytes in them, must stay as they are until it settles. (The list may
   * change.)
   *
   * An append whose ids are all stored already is answered with the original receipt and
   * `duplicate: true`: so after an unknown outcome, append the same ids again.
   *
   * Limits: 65,536 events, 16 MiB a payload (`maxPayloadBytes`), 64 MiB altogether.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.memory()
   * const receipt = await store.append(
   *   [
   *     { entity: 'order:1', fact: 'placed', scope: 'org:acme', payload: { total: 3 } },
   *     { entity: 'order:1', fact: 'paid' },
   *   ],
   *   { expect: 'none' },
   * )
   * console.log(receipt.lastVersion) // 1
   * await store.close()
   * ```
   * @throws {TetralogError} ERR_WRONG_EXPECTED_VERSION, ERR_CONDITION_FAILED, ERR_ID_CONFLICT,
   * ERR_INVALID_ARGUMENT, ERR_LIMIT_EXCEEDED, ERR_OVERLOADED, ERR_READ_ONLY, ERR_DISK_FULL,
   * ERR_POISONED, ERR_CLOSED. `written` says whether it may be stored all the same.
   */
  append<E extends EventType = EventType>(
    events: OneOrMore<NewEvent<E>>,
    options?: AppendOptions,
  ): Promise<Receipt> {
    try {
      if (this.#session.closed) throw closed()
      return this.#queue.append(events, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * As {@link Store.append}, but blocks the thread until the append is durable: for scripts, and for
   * the last moment before a process ends. What was appended before it goes before it.
   */
  appendSync<E extends EventType = EventType>(
    events: OneOrMore<NewEvent<E>>,
    options?: AppendOptions,
  ): Receipt {
    if (this.#session.closed) throw closed()
    return this.#queue.appendSync(events, options)
  }

  /**
   * The newest event of an entity, if there is one. The name is taken literally, never as a pattern.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.memory()
   * console.log(await store.latest('order:1')) // undefined
   * await store.close()
   * ```
   */
  latest<E extends EventType = EventType>(entity: string): Promise<RecordedEvent<E> | undefined> {
    try {
      const name = wellFormed(entity, 'entity')
      if (turn.isOver()) return turn.next().then(() => this.latest<E>(name))
      const { handle, native, source } = this.#session
      const length = this.#session.place((slab) => latestNow(handle, name, slab.bytes, slab.at))
      return length < 0
        ? native.latestAsync(name).then((bytes) => eventOrNone<E>(bytes, source), rethrow)
        : Promise.resolve(eventIn<E>(this.#session.slab, length, source))
    } catch (error) {
      return Promise.reject(fromNative(error))
    }
  }

  /** The event at a position; `undefined` beyond the head. */
  event<E extends EventType = EventType>(position: number): Promise<RecordedEvent<E> | undefined> {
    try {
      const number = integer(position, 'position', 0, Number.MAX_SAFE_INTEGER)
      if (turn.isOver()) return turn.next().then(() => this.event<E>(number))
      const { handle, native, source } = this.#session
      const length = this.#session.place((slab) => eventNow(handle, number, slab.bytes, slab.at))
      return length < 0
        ? native.eventAsync(number).then((bytes) => eventOrNone<E>(bytes, source), rethrow)
        : Promise.resolve(eventIn<E>(this.#session.slab, length, source))
    } catch (error) {
      return Promise.reject(fromNative(error))
    }
  }

  /** The version of an entity's newest event; -1 if it has none. */
  version(entity: string): Promise<number> {
    try {
      const name = wellFormed(entity, 'entity')
      if (turn.isOver()) return turn.next().then(() => this.version(name))
      const version = versionNow(this.#session.handle, name)
      return Number.isNaN(version)
        ? this.#session.native.versionAsync(name).catch(rethrow)
        : Promise.resolve(version)
    } catch (error) {
      return Promise.reject(fromNative(error))
    }
  }

  /** Whether an entity has events. */
  exists(entity: string): Promise<boolean> {
    return this.version(entity).then((version) => version >= 0)
  }

  /** The newest visible position; -1 if there is none. */
  head(): Promise<number> {
    try {
      return this.#session.native.head().catch(rethrow)
    } catch (error) {
      return Promise.reject(fromNative(error))
    }
  }

  /**
   * The events of one entity, by version. The name is taken literally, never as a pattern; `from`
   * and `after` are versions. Of an unknown entity there are none.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.memory()
   * await store.append({ entity: 'order:1', fact: 'placed' })
   * for await (const event of store.stream('order:1', { backwards: true, limit: 10 })) {
   *   console.log(event.version, event.fact)
   * }
   * await store.close()
   * ```
   * @throws {TetralogError} ERR_INVALID_ARGUMENT, at the call.
   */
  stream<E extends EventType = EventType>(
    entity: string,
    options?: ReadOptions,
  ): Reading<RecordedEvent<E>> {
    const name = wellFormed(entity, 'entity')
    return this.#events<E>(readWindow(options), (window, limit) => streamSpec(name, window, limit))
  }

  /**
   * All events, by position.
   *
   * @throws {TetralogError} ERR_INVALID_ARGUMENT, at the call.
   */
  all<E extends EventType = EventType>(options?: ReadOptions): Reading<RecordedEvent<E>> {
    return this.#events<E>(readWindow(options), allSpec)
  }

  #events<E extends EventType>(
    window: Window,
    spec: (window: Window, limit: number | undefined) => Uint8Array,
  ): Reading<RecordedEvent<E>> {
    const session = this.#session
    if (session.closed) throw closed()
    return new PlainReading({
      session,
      limit: window.limit,
      signal: window.signal,
      spec: (limit) => spec(window, limit),
      decode: (bytes, source) => decodeEvents(bytes, source) as Decoded<RecordedEvent<E>>,
    })
  }

  /**
   * Events by their coordinates: a filter, or a list of which one must hold; without one, all.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.memory()
   * await store.append({ entity: 'order:1', fact: 'placed', scope: 'org:acme/eng' })
   * const recent = await store
   *   .query({ scope: 'org:acme/*', fact: 'placed' })
   *   .since(new Date(Date.now() - 60_000))
   *   .limit(10)
   *   .toArray()
   * console.log(recent.length) // 1
   * await store.close()
   * ```
   * @throws {TetralogError} ERR_INVALID_ARGUMENT, at the call.
   */
  query<E extends EventType = EventType>(
    filter?: OneOrMore<Filter<E>>,
    options?: QueryOptions,
  ): Query<E> {
    const filters = filter === undefined ? EVERYTHING : checkFilters(filter, 'filter')
    const window = queryWindowOf(options)
    if (this.#session.closed) throw closed()
    return new LogQuery<E>(this.#session, filters, window)
  }

  /** The entities that have events, in bytewise order of their names. */
  entities(options?: EntityOptions): Reading<EntityInfo> {
    const given = readFields(options ?? {}, 'options', ['prefix', 'after', 'limit', 'signal'])
    const prefix = given.prefix === undefined ? '' : wellFormed(given.prefix, 'options.prefix')
    const after = given.after === undefined ? undefined : wellFormed(given.after, 'options.after')
    const { limit, signal } = given
    const session = this.#session
    if (session.closed) throw closed()
    return new PlainReading({
      session,
      limit:
        limit === undefined
          ? undefined
          : integer(limit, 'options.limit', 0, Number.MAX_SAFE_INTEGER),
      signal: signal === undefined ? undefined : abortSignal(signal, 'options.signal'),
      spec: (most) => entitiesSpec(prefix, after, most),
      decode: decodeEntities,
    })
  }

  /**
   * Reads everything again and checks it: checksums, digests and links, of one entity or of the
   * whole store. Damage is reported, not thrown.
   *
   * @example
   * ```ts
   * import { Store } from 'tetralog'
   *
   * const store = await Store.memory()
   * const report = await store.verify()
   * console.log(report.ok) // true
   * await store.close()
   * ```
   */
  async verify(options?: VerifyOptions): Promise<VerifyReport> {
    return verify(this.#session, options)
  }

  /** Counts and sizes, as of now. */
  async stats(): Promise<StoreStats> {
    try {
      const { native } = this.#session
      const stats = JSON.parse(native.statsNow() ?? (await native.stats())) as StoreStats
      return { ...stats, pendingAppends: this.#queue.size }
    } catch (error) {
      throw fromNative(error)
    }
  }

  /** Resolves when everything appended so far is on the device, whatever the durability. */
  async sync(): Promise<void> {
    try {
      const { native } = this.#session
      await this.#queue.handedOver()
      await native.sync()
    } catch (error) {
      throw fromNative(error)
    }
  }

  /**
   * Lets pending appends finish, ends open reads with ERR_CLOSED, and frees the directory. Events
   * already handed out stay valid. Calling it again gives the same promise.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#readInfo()
    const handedOver = this.#queue.handedOver()
    const native = this.#session.close()
    await handedOver
    try {
      await native.close()
    } catch (error) {
      throw fromNative(error)
    } finally {
      // Also of a poisoned store: what was pending has its outcome, or gets it now.
      await this.#queue.drained()
      this.#queue.detach()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [inspect.custom](_depth: number, options: object, inner: typeof inspect): string {
    const { id, readOnly, damage } = this.#readInfo()
    const state = {
      id,
      path: this.#path ?? '(memory)',
      readOnly,
      closed: this.#session.closed,
      ...(damage.length > 0 ? { damage } : undefined),
    }
    return `Store ${inner(state, options)}`
  }
}

function directoryOf(path: unknown): string {
  if (path instanceof URL) {
    if (path.protocol !== 'file:') {
      throw invalidArgument('path', `must be a file: URL, not ${path.protocol}`)
    }
    return fileURLToPath(path)
  }
  if (typeof path !== 'string') {
    throw invalidArgument('path', `must be a string or a URL, not ${describe(path)}`)
  }
  if (path === '' || path.includes('\0')) {
    throw invalidArgument('path', 'must be a path: not empty, and without NUL')
  }
  // The process may change its directory while the store is open.
  return resolve(wellFormed(path, 'path'))
}

function eventOrNone<E extends EventType>(
  bytes: Uint8Array | null,
  source: BatchSource,
): RecordedEvent<E> | undefined {
  return bytes === null ? undefined : (decodeEvent(keepHere(bytes), source) as RecordedEvent<E>)
}

/** The event that the engine has put into a slab, if its length is not 0. */
function eventIn<E extends EventType>(
  slab: Slab,
  length: number,
  source: BatchSource,
): RecordedEvent<E> | undefined {
  if (length === 0) return undefined
  const event = decodeEvent(slab.bytes, source, slab.at, slab.view) as RecordedEvent<E>
  slab.at += length
  return event
}

function rethrow(error: unknown): never {
  throw fromNative(error)
}
