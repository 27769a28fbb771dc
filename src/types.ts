// The public types that are not tied to one class: what goes in, and what comes out.

export type OneOrMore<T> = T | readonly T[]
export type Bytes = Uint8Array<ArrayBuffer>

/** The shape of a domain event. A union of them types a call: `store.stream<OrderEvent>(id)`. */
export type EventType = {
  readonly fact: string
  readonly payload?: unknown
  readonly metadata?: unknown
}

type Value<E, K extends PropertyKey> = K extends keyof E ? E[K] : undefined
type Field<E, K extends string> = K extends keyof E ? Pick<E, K> : { readonly [P in K]?: undefined }

/**
 * What an entity's version must be for an append to succeed: anything, no event yet, at least one
 * event, or exactly this version. -1 is `'none'`, so `expect: await store.version(entity)` works.
 */
export type ExpectedVersion = 'any' | 'none' | 'exists' | number

/**
 * Up to 64 bytes as they are, compared bytewise; a Date becomes u64 big-endian nanoseconds since
 * 1970, the scale of the store's own clock.
 */
export type ClockInput = Uint8Array | Date

/** What every event may carry beside its fact, payload and metadata. */
export interface Envelope {
  /** Who: 1 to 1024 bytes of UTF-8, no NUL, no `*` at the end. One entity is one stream. */
  readonly entity: string
  /** Where: a `/`-separated path of up to 1024 bytes; `''` if left out. */
  readonly scope?: string | undefined
  /** When; left out, the store makes one, strictly increasing. */
  readonly clock?: ClockInput | undefined
  /** Any UUID; on all events of a batch or on none. Appending the same ids again is harmless. */
  readonly id?: string | undefined
  /** A set of up to 64 strings of 1 to 256 bytes, kept sorted bytewise. */
  readonly tags?: readonly string[] | undefined
  /** Up to 256 bytes; left out, it follows from the payload. */
  readonly contentType?: string | undefined
  /** What the entity's version must be before this event, earlier events of the batch counted. */
  readonly expect?: ExpectedVersion | undefined
}

/**
 * An event to append. A string payload is stored as text/plain, bytes as application/octet-stream,
 * any other JSON value as application/json, and each is read back as it went in. Metadata is a JSON
 * value or bytes.
 */
export type NewEvent<E extends EventType = EventType> = E extends EventType
  ? Envelope & { readonly fact: E['fact'] } & Field<E, 'payload'> & Field<E, 'metadata'>
  : never

/**
 * A stored event: a lazy view over the batch it came in, valid for ever. Its fields are getters of
 * the prototype, so to spread, clone or compare one use `toJSON()`. Whoever keeps an event keeps its
 * batch of about 1 MiB; `detach()` copies it out.
 */
export interface EventView<F extends string, P, M> {
  /** Its place in the global order, from 0, without gaps. */
  readonly position: number
  /** Its place within its entity, from 0, without gaps. */
  readonly version: number
  readonly entity: string
  readonly fact: F
  readonly scope: string
  readonly clock: Bytes
  /** A UUID in lower case. */
  readonly id: string
  readonly tags: readonly string[]
  /** `''` if there is no payload. */
  readonly contentType: string
  /** When the store wrote it, to the millisecond; never decreasing along positions. */
  readonly recordedAt: Date
  /** The same, in microseconds since 1970. */
  readonly recordedAtUs: number
  /**
   * What was appended, by content type: a JSON value, a string, bytes; `undefined` if it was left
   * out. Decoded on first touch.
   *
   * @throws {TetralogError} ERR_PAYLOAD_DECODE if the stored bytes are not what the content type says.
   */
  readonly payload: P
  /** What was appended: a JSON value, bytes or `undefined`. */
  readonly metadata: M
  /** The stored payload, exactly, whatever the content type says. Never fails. */
  bytes(): Bytes
  /**
   * The stored payload as text.
   *
   * @throws {TetralogError} ERR_PAYLOAD_DECODE if it is not valid UTF-8.
   */
  text(): string
  /**
   * The stored payload, parsed as JSON.
   *
   * @throws {TetralogError} ERR_PAYLOAD_DECODE if it is not valid JSON.
   */
  json(): unknown
  json<T>(): T
  /** Its hash in the entity's chain: 32 bytes. */
  readonly link: Bytes
  /** The link of the entity's event before it; 32 zero bytes for version 0. */
  readonly previousLink: Bytes
  /** A copy that keeps no batch alive; its byte fields own their ArrayBuffers. */
  detach(): this
  /** A plain object: clock and links in hex, bytes as `{ base64 }`, recordedAt with microseconds. */
  toJSON(): EventJson
}

export type RecordedEvent<E extends EventType = EventType> = E extends EventType
  ? EventView<E['fact'], Value<E, 'payload'>, Value<E, 'metadata'>>
  : never

/** An event as a plain object; what `JSON.stringify(event)` writes. */
export interface EventJson {
  position: number
  version: number
  entity: string
  fact: string
  scope: string
  clock: string
  id: string
  tags: string[]
  recordedAt: string
  contentType: string
  payload?: unknown
  metadata?: unknown
  link: string
  previousLink: string
}

/**
 * When an append's promise resolves. `sync` (the default): when it is on the device. `interval`:
 * when it is written; synced within 100 ms or 1000 events. `none`: when it is written; synced in the
 * background.
 */
export type Durability = 'sync' | 'interval' | 'none'

/** Makes an append fail if an event after position `after` matches; -1 or left out: any event. */
export interface AppendCondition {
  readonly match: Match
  readonly after?: number | undefined
}

export interface AppendOptions {
  /** For a batch of one entity; or by entity, also of entities that the batch does not write to. */
  readonly expect?: ExpectedVersion | Readonly<Record<string, ExpectedVersion>> | undefined
  /** Conditions, each of which makes the append fail with ERR_CONDITION_FAILED. */
  readonly unless?: OneOrMore<AppendCondition> | undefined
  /** Stricter than the store's, for this append; weaker is refused. */
  readonly durability?: Durability | undefined
}

/** What an append did. Of an empty batch: count 0, the other numbers -1. */
export interface Receipt {
  /** Of the first event. */
  readonly position: number
  /** Of the last event. */
  readonly lastPosition: number
  /** Of the first event, in its own entity. */
  readonly version: number
  /** Of the last event, in its own entity. */
  readonly lastVersion: number
  readonly count: number
  /** All ids were stored already: nothing was written, and the other fields are the original's. */
  readonly duplicate: boolean
  /** By entity, the last version that the batch gave it. */
  readonly versions: ReadonlyMap<string, number>
}

/**
 * A string may be a pattern (`'user:*'`, `'org:acme/*'`); the objects take theirs literally: for
 * untrusted input.
 */
export type Pattern = string | { readonly exact: string } | { readonly prefix: string }

/** Bounds on the clock, compared bytewise. `from` and `to` are inclusive, `before` is exclusive. */
export interface ClockRange {
  readonly from?: ClockInput
  readonly to?: ClockInput
  readonly before?: ClockInput
}

/**
 * Every coordinate given must hold. A list is an OR; an empty one matches nothing; an explicit
 * undefined is refused, for it would mean everything.
 */
export interface Filter<E extends EventType = EventType> {
  readonly entity?: OneOrMore<Pattern>
  readonly fact?: OneOrMore<E['fact']>
  readonly scope?: OneOrMore<Pattern>
  readonly clock?: ClockRange
  readonly tags?: { readonly any?: readonly string[]; readonly all?: readonly string[] }
}

/** Filters, of which one must hold. A query is accepted for its filters, but not with a window. */
export type Match = OneOrMore<Filter | { readonly filters: readonly Filter[] }>

/** The window of a read. Numbers are positions; in `stream()`, versions, except for `asOf`. */
export interface ReadOptions {
  /** The first one to read, in reading order. Default: the beginning, or the head if backwards. */
  readonly from?: number | undefined
  /** Go on after this one, in reading order (the page token); -1 is the start. */
  readonly after?: number | undefined
  /** As if the log ended with this position; left out, the head when the read starts. */
  readonly asOf?: number | undefined
  /** At most so many; 0 gives nothing. */
  readonly limit?: number | undefined
  readonly backwards?: boolean | undefined
  /** Aborted, the read rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined
}

export interface QueryOptions extends ReadOptions {
  /** Default: `'position'`. By clock, equal clocks are ordered by position. */
  readonly orderBy?: 'position' | 'clock' | undefined
}

/** A description, not a cursor: each loop and each call below is a read of its own, at one head. */
export interface Reading<T> extends AsyncIterable<T, undefined> {
  /** In batches of up to about 1 MiB and at most 1024, never empty. The fastest loop. */
  batches(): AsyncIterable<readonly T[], undefined>
  toArray(): Promise<T[]>
  first(): Promise<T | undefined>
  count(): Promise<number>
}

type Narrow<E extends EventType, F> = string extends E['fact']
  ? E
  : Extract<E, { readonly fact: F }>

/**
 * A query: immutable, each method gives a new one. Each coordinate can be given once, `tagged()`
 * any number of times; a method of the window replaces what was given before.
 */
export interface Query<E extends EventType = EventType> extends Reading<RecordedEvent<E>> {
  fact<const F extends E['fact']>(...anyOf: readonly F[]): Query<Narrow<E, F>>
  entity(...anyOf: readonly Pattern[]): Query<E>
  scope(...anyOf: readonly Pattern[]): Query<E>
  /** Inclusive. */
  since(clock: ClockInput): Query<E>
  /** Inclusive. */
  until(clock: ClockInput): Query<E>
  tagged(...allOf: readonly string[]): Query<E>
  taggedAny(...anyOf: readonly string[]): Query<E>
  from(position: number): Query<E>
  after(position: number): Query<E>
  asOf(position: number): Query<E>
  limit(count: number): Query<E>
  backwards(): Query<E>
  orderBy(order: 'position' | 'clock'): Query<E>
  signal(signal: AbortSignal): Query<E>
  readonly filters: readonly Filter[]
  /**
   * Reads all of it at one head; `unless` makes an append fail if the answer has changed since.
   *
   * @throws {TetralogError} ERR_INVALID_ARGUMENT if the query has a window.
   */
  boundary(): Promise<{ events: RecordedEvent<E>[]; head: number; unless: AppendCondition }>
  /** How it would be answered, for people to read. */
  explain(): Promise<{ plan: string; recordsTouched: number }>
}

/** An entity with its newest version and that event's position. */
export interface EntityInfo {
  readonly entity: string
  readonly version: number
  readonly position: number
}

export interface EntityOptions {
  readonly prefix?: string
  /** Go on after this entity: the page token. */
  readonly after?: string
  readonly limit?: number
  readonly signal?: AbortSignal
}

export interface MemoryOptions {
  /** 16 MiB unless told, 48 MiB at most. */
  readonly maxPayloadBytes?: number | undefined
  /** 256 MiB unless told; 1 MiB to 4 GiB - 1. */
  readonly segmentMaxBytes?: number | undefined
}

export interface StoreOptions extends MemoryOptions {
  /** `'sync'` unless told. */
  readonly durability?: Durability | undefined
  /** Any number of read-only openers may follow a store that another process writes. */
  readonly readOnly?: boolean | undefined
  /** Of durability `'interval'`: 100 unless told. */
  readonly fsyncIntervalMs?: number | undefined
  /** Of durability `'interval'`: 1000 unless told. */
  readonly fsyncEventCount?: number | undefined
  /** What may wait for the writer: 256 MiB unless told. More is ERR_OVERLOADED. */
  readonly maxInFlightBytes?: number | undefined
  /** Gives the opening up: it rejects with `signal.reason`, and the store is as it was. */
  readonly signal?: AbortSignal | undefined
  /**
   * Called now and then while opening reads what no index covers: after a crash, or when index files
   * are missing. Not called when there is nothing to read.
   */
  readonly onProgress?: ((progress: OpenProgress) => void) | undefined
}

/** How far it is with reading the log: on opening, in a repair, or for an index that is built again. */
export interface OpenProgress {
  /** Events read so far. */
  readonly events: number
  /** Bytes of log read so far. */
  readonly bytes: number
  /** From 0 to 1, as far as it can be told. */
  readonly share: number
}

/** A damaged range of the log, in bytes of a segment; positions and entities as far as known. */
export interface Damage {
  readonly segment: number
  readonly offset: number
  readonly length: number
  readonly reason: string
  readonly positions?: { readonly from: number; readonly to: number }
  readonly entities: readonly string[]
}

export interface VerifyOptions {
  /** Only this entity's chain; left out, the whole store. */
  readonly entity?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Called now and then; `share` goes from 0 to 1. */
  readonly onProgress?:
    | ((progress: { events: number; bytes: number; share: number }) => void)
    | undefined
}

/** An event whose link does not hold. */
export interface BrokenLink {
  readonly position: number
  readonly version: number
  readonly entity: string
  /** In words. */
  readonly reason: string
}

/** What checking the chains of exported events found. */
export interface LinkReport {
  readonly ok: boolean
  /** Events that were checked, and how many entities they are of. */
  readonly events: number
  readonly entities: number
  /** The first 1000 events whose links do not hold. */
  readonly broken: readonly BrokenLink[]
}

export interface RepairOptions {
  /** Only says what would be done and lost. */
  readonly dryRun?: boolean | undefined
  /** Aborted before the first change, nothing is changed and the call rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined
  /** While the store is read and verified, as often as that takes: `share` begins again each time. */
  readonly onProgress?: ((progress: OpenProgress) => void) | undefined
}

/** One thing that a repair does. */
export interface RepairStep {
  /**
   * `correct`: changed bytes are put right, as checksums prove. `seal`, `manifest`: it is written again from
   * what is whole. None of these loses anything. `cut`: the log ends here from now on; `remove`: the file
   * goes, because it stands behind the cut.
   */
  readonly action: 'correct' | 'seal' | 'manifest' | 'cut' | 'remove'
  /** Its name within the store's directory. */
  readonly file: string
  /** Number of the segment; 0 is the manifest. */
  readonly segment: number
  /** Where in the file it begins. */
  readonly offset: number
  /** Bytes that are written again; 0 of what is cut or removed. */
  readonly length: number
}

/** What a repair did and lost, or would do and lose. */
export interface RepairReport {
  readonly dryRun: boolean
  /** Everything that was damaged. */
  readonly damage: readonly Damage[]
  /** Empty if nothing was damaged. */
  readonly steps: readonly RepairStep[]
  /** Events of the store afterwards. */
  readonly events: number
  readonly lost: {
    readonly events: number
    /** How many of these are whole, but stand behind what is not: in the files kept aside. */
    readonly whole: number
    readonly positions?: { readonly from: number; readonly to: number }
  }
  /** The directory in which the files are kept as they were, if any were changed. */
  readonly kept: string | undefined
}

export interface VerifyReport {
  readonly ok: boolean
  readonly events: number
  readonly entities: number
  readonly damage: readonly Damage[]
}

export interface StoreStats {
  readonly events: number
  readonly entities: number
  /** The newest visible position, -1 if there is none. */
  readonly head: number
  readonly syncedPosition: number
  readonly bytes: number
  readonly segments: number
  readonly pendingAppends: number
  readonly pendingBytes: number
  /** How far it is with an index that turned out to be damaged; only while it is built again. */
  readonly rebuilding?: OpenProgress
}

/** What opening a store had to do. */
export interface Recovery {
  /** The last writer closed it. */
  readonly clean: boolean
  /** Bytes of an append that was never acknowledged, cut off the end. */
  readonly tornBytes: number
  readonly replayedEvents: number
}
