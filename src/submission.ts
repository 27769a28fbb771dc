// Appends, encoded one after another into one growing buffer, each of them whole or not at all. A large one
// can pause, so that the event loop gets its turn, and goes on where it was.
import { isDateValue, writeDate } from './clock.js'
import { invalidArgument, limitExceeded, wrapThrown } from './errors.js'
import {
  EXPECT_NOT_GIVEN,
  EXPECT_VERSION,
  expectationKind,
  kindOfExpectation,
  NO_EXPECTATION,
  refusedExpectation,
} from './expectation.js'
import { writeConditions } from './filter.js'
import { JsonWriter } from './json.js'
import { durabilityNumber, refuseUnknownKeys } from './options.js'
import { describe, isRecord, isUint8, notUnicode, Packer, refuseDetached } from './packer.js'
import { checkPayloadKind, KIND_BYTES, KIND_JSON, KIND_NONE, KIND_TEXT, kindOf } from './payload.js'
import { writeUuid } from './uuid.js'

const APPEND_HEADER = 32
const EVENT_HEADER = 60

// Where an event's header has the number of its content type, if that is not spelled out.
const USUAL_TYPE = 3

const CLOCK_GIVEN = 1
const ID_GIVEN = 2
const PAYLOAD_GIVEN = 4

const METADATA_NONE = 0
const METADATA_BYTES = 1
const METADATA_JSON = 2

const MAX_EVENTS = 65_536

// A payload of more bytes is handed over from where it is, if that may happen later.
const LEFT_BYTES = 1024 * 1024
// An append of more bytes is handed over in parts, so that it is packed into memory that is in the cache.
const PART_BYTES = 512 * 1024
// Events between two looks at the clock: so many are always encoded at the call.
const STEP_EVENTS = 32

// What is being read, where it is no event.
const AT_OPTIONS = -2
const AT_LIST = -1

const NO_EVENTS: readonly unknown[] = []

const HARD_PAYLOAD_LIMIT = 48 * 1024 * 1024

const OPTION_KEYS = ['expect', 'unless', 'durability'] as const
const EVENT_KEYS = [
  'entity',
  'fact',
  'scope',
  'clock',
  'id',
  'tags',
  'contentType',
  'expect',
  'payload',
  'metadata',
] as const

type Fields<K extends string> = { readonly [P in K]?: unknown }

/** What encoding leaves behind for the receipt: the entity of all events, or that of each. */
export interface Written {
  entities: string | string[]
}

/** Says when it is somebody else's turn. */
export interface Pace {
  isOver(): boolean
}

/** Bytes that come behind what is encoded, and are not copied there. */
export interface Remainder {
  readonly bytes: Uint8Array
  readonly length: number
  readonly argument: string
}

export class Submission {
  readonly packer = new Packer()
  readonly #json = new JsonWriter(this.packer)
  readonly #maxPayloadBytes: number
  #busy = false
  #expectGiven = false
  #withIds = false
  #index = AT_OPTIONS
  // Of the append that is being encoded: where its header is, its events, how many are done, and of how many.
  #start = 0
  #written: Written = { entities: '' }
  #events: readonly unknown[] = NO_EVENTS
  #done = 0
  #count = 0
  // Events that are in #events no more: those encoded before the first pause.
  #before = 0
  #entities: string[] | undefined
  #canPause = false
  #hasPaused = false
  #remainder: Remainder | undefined

  constructor(maxPayloadBytes: number) {
    this.#maxPayloadBytes = maxPayloadBytes
  }

  /** A getter or a toJSON() of the caller's is running in the middle of an append. */
  get busy(): boolean {
    return this.#busy
  }

  /**
   * Adds one append; on any error the buffer is as it was. With a pace, which depends on how many events it
   * has, it may pause, and gives false then: what is in the buffer can be taken away, what remains comes
   * behind it, and `resume` goes on.
   */
  append(
    written: Written,
    sequence: number,
    events: unknown,
    options: unknown,
    paceOf?: (count: number) => Pace | undefined,
  ): boolean {
    if (this.#busy) {
      throw invalidArgument(
        'events',
        'cannot be appended by a getter or a toJSON() of an event that is being appended',
      )
    }
    this.#start = this.packer.at
    this.#busy = true
    this.#index = AT_OPTIONS
    try {
      this.#header(sequence, options)
      this.#index = AT_LIST
      return this.#begin(written, events, paceOf)
    } catch (error) {
      throw this.#undone(error)
    } finally {
      this.#busy = false
    }
  }

  /** Goes on with the append that paused: false if it pauses again. The buffer was emptied meanwhile. */
  resume(pace?: Pace): boolean {
    this.#start = this.packer.at
    this.#busy = true
    try {
      return this.#encode(pace)
    } catch (error) {
      throw this.#undone(error)
    } finally {
      this.#busy = false
    }
  }

  /** About how many bytes the append that has paused for the first time will have. */
  get expectedBytes(): number {
    const share = this.#before / (this.#before + this.#events.length) || 1
    return (this.packer.at - this.#start) / share + (this.#remainder?.length ?? 0)
  }

  /** What the pause has left over, to be copied behind the buffer. */
  takeRemainder(): Remainder | undefined {
    const remainder = this.#remainder
    this.#remainder = undefined
    return remainder
  }

  #undone(error: unknown): Error {
    this.packer.at = this.#start
    this.#events = NO_EVENTS
    this.#remainder = undefined
    const event = this.#index === AT_LIST ? 'events' : `events[${this.#index}]`
    return wrapThrown(this.#index === AT_OPTIONS ? 'options' : event, error)
  }

  #header(sequence: number, options: unknown): void {
    const { packer } = this
    const start = this.#start
    packer.reserve(APPEND_HEADER)
    packer.zeros(start, APPEND_HEADER)
    packer.at += APPEND_HEADER
    packer.view.setUint32(start + 4, sequence, true)
    this.#expectGiven = false
    if (options !== undefined) this.#options(start, options)
  }

  #begin(
    written: Written,
    events: unknown,
    paceOf: ((count: number) => Pace | undefined) | undefined,
  ): boolean {
    this.#written = written
    this.#hasPaused = false
    this.#entities = undefined
    this.#done = 0
    this.#before = 0
    const { packer } = this
    if (!Array.isArray(events)) {
      packer.view.setUint32(this.#start + 20, 1, true)
      this.#events = NO_EVENTS
      this.#count = 1
      this.#canPause = paceOf?.(1) !== undefined
      written.entities = this.#event(events, 0)
      return this.#remainder === undefined ? this.#end() : this.#pause()
    }
    const count = events.length
    if (count > MAX_EVENTS) throw limitExceeded('events', 'events', MAX_EVENTS, count)
    packer.view.setUint32(this.#start + 20, count, true)
    this.#events = events
    this.#count = count
    const pace = paceOf?.(count)
    this.#canPause = pace !== undefined
    if (this.#encode(pace)) return true
    // Whatever the caller does with the list now, or a getter of an event has done.
    const left: unknown[] = events.slice(this.#done, count)
    left.length = count - this.#done
    this.#events = left
    this.#before = this.#done
    this.#done = 0
    return false
  }

  /** The events that are left; false if it pauses before the last one. */
  #encode(pace: Pace | undefined): boolean {
    const { packer } = this
    const events = this.#events
    const count = events.length
    // The first question of a turn is when its time begins.
    if (this.#count > STEP_EVENTS) pace?.isOver()
    for (let i = this.#done; i < count; ) {
      this.#note(this.#event(events[i], this.#before + i))
      this.#done = ++i
      if (this.#remainder !== undefined) return this.#pause()
      if (pace !== undefined && i % STEP_EVENTS === 0 && i < count) {
        if (pace.isOver() || packer.at - this.#start >= PART_BYTES) return this.#pause()
      }
    }
    return this.#end()
  }

  #note(entity: string): void {
    const written = this.#written
    const nth = this.#before + this.#done
    if (this.#entities !== undefined) this.#entities[nth] = entity
    else if (nth === 0) written.entities = entity
    else if (entity !== written.entities) {
      // In one piece: an array that grows leaves four times as much garbage.
      this.#entities = new Array<string>(this.#count)
      this.#entities.fill(written.entities as string, 0, nth)
      this.#entities[nth] = entity
      written.entities = this.#entities
    }
  }

  #pause(): false {
    this.#hasPaused = true
    return false
  }

  #end(): true {
    this.#events = NO_EVENTS
    const { view, at } = this.packer
    // The header of an append that has paused is gone already.
    if (!this.#hasPaused) view.setUint32(this.#start, at - this.#start, true)
    return true
  }

  #options(start: number, options: unknown): void {
    if (!isRecord(options)) {
      throw invalidArgument('options', `must be a plain object, not ${describe(options)}`)
    }
    const { expect, unless, durability } = options as Fields<(typeof OPTION_KEYS)[number]>
    const given =
      (expect === undefined ? 0 : 1) +
      (unless === undefined ? 0 : 1) +
      (durability === undefined ? 0 : 1)
    if (hasMoreKeys(options, given)) refuseUnknownKeys(options, 'options', OPTION_KEYS)
    const { packer } = this
    this.#expectGiven = expect !== undefined
    packer.bytes[start + 8] = durabilityNumber(durability, 'options.durability')
    if (typeof expect === 'object' && expect !== null) {
      const entries = this.#expectMap(expect)
      packer.view.setUint32(start + 24, entries, true)
    } else {
      const kind = expectationKind(expect, 'options.expect')
      packer.bytes[start + 9] = kind
      if (kind === EXPECT_VERSION) packer.view.setFloat64(start + 12, expect as number, true)
    }
    const conditions = writeConditions(packer, unless)
    packer.view.setUint32(start + 28, conditions, true)
  }

  #expectMap(map: object): number {
    if (Array.isArray(map) || map instanceof Map) {
      throw invalidArgument(
        'options.expect',
        "must be an expected version, or a plain object of them by entity: { 'order:1': 'none' }",
      )
    }
    const { packer } = this
    const entities = Object.keys(map)
    let count = 0
    for (const entity of entities) {
      const expected = (map as Fields<string>)[entity]
      const argument = `options.expect[${JSON.stringify(entity)}]`
      const kind = expectationKind(expected, argument)
      if (kind === EXPECT_NOT_GIVEN) continue
      packer.lengthAndText(entity, argument)
      packer.u8(kind)
      packer.f64(kind === EXPECT_VERSION ? (expected as number) : 0)
      count++
    }
    return count
  }

  /** Writes an event and gives its entity. */
  #event(event: unknown, index: number): string {
    this.#index = index
    if (typeof event !== 'object' || event === null || Array.isArray(event)) {
      throw invalidArgument(`events[${index}]`, `must be an event object, not ${describe(event)}`)
    }
    const { entity, fact, scope, clock, id, tags, contentType, expect, payload, metadata } =
      event as Fields<(typeof EVENT_KEYS)[number]>
    const given =
      2 +
      (scope === undefined ? 0 : 1) +
      (clock === undefined ? 0 : 1) +
      (id === undefined ? 0 : 1) +
      (tags === undefined ? 0 : 1) +
      (contentType === undefined ? 0 : 1) +
      (expect === undefined ? 0 : 1) +
      (payload === undefined ? 0 : 1) +
      (metadata === undefined ? 0 : 1)
    if (hasMoreKeys(event, given)) refuseUnknownKeys(event, `events[${index}]`, EVENT_KEYS)

    const { packer } = this
    packer.reserve(EVENT_HEADER)
    const at = packer.at
    packer.zeros(at, EVENT_HEADER)
    packer.at += EVENT_HEADER
    let flags = 0
    this.#text(entity, at + 4, 'entity')
    this.#text(fact, at + 8, 'fact')
    if (scope !== undefined) this.#text(scope, at + 12, 'scope')
    if (clock !== undefined) {
      flags |= CLOCK_GIVEN
      this.#clock(clock, at + 16)
    }
    const kind = this.#contentType(contentType, payload, at)
    if (tags !== undefined) this.#tags(tags, at + 24)
    if (metadata !== undefined) {
      // Not in one expression: the buffer may be another one afterwards.
      const metadataKind = this.#metadata(metadata, at + 28)
      packer.bytes[at + 1] = metadataKind
    }
    if (payload !== undefined) {
      flags |= PAYLOAD_GIVEN
      this.#payload(payload, kind, at + 32)
    }
    if (expect !== undefined) this.#expect(expect, at)
    if (this.#id(id, at + 44, index)) flags |= ID_GIVEN
    packer.bytes[at] = flags
    return entity as string
  }

  #path(field: string): string {
    return `events[${this.#index}].${field}`
  }

  /** Text, with its length at `lengthAt`. */
  #text(value: unknown, lengthAt: number, field: string): void {
    if (typeof value !== 'string') {
      throw invalidArgument(
        this.#path(field),
        value === undefined ? 'is missing' : `must be a string, not ${describe(value)}`,
      )
    }
    const { packer } = this
    const start = packer.at
    if (!packer.text(value)) throw notUnicode(this.#path(field))
    packer.view.setUint32(lengthAt, packer.at - start, true)
  }

  #bytes(value: Uint8Array, lengthAt: number, field: string): void {
    const { packer } = this
    const { length } = value
    if (length === 0) refuseDetached(value, this.#path(field))
    if (length > HARD_PAYLOAD_LIMIT) throw this.#tooLarge(field, length)
    const start = packer.at
    packer.raw(value)
    packer.view.setUint32(lengthAt, packer.at - start, true)
  }

  #tooLarge(field: string, actual: number): Error {
    const limit = field === 'payload' ? this.#maxPayloadBytes : HARD_PAYLOAD_LIMIT
    return limitExceeded(this.#path(field), 'bytes', limit, actual)
  }

  #clock(clock: unknown, lengthAt: number): void {
    const { packer } = this
    if (isUint8(clock)) this.#bytes(clock, lengthAt, 'clock')
    else if (isDateValue(clock)) {
      packer.reserve(8)
      writeDate(packer.view, packer.at, clock, this.#path('clock'))
      packer.at += 8
      packer.view.setUint32(lengthAt, 8, true)
    } else {
      throw invalidArgument(
        this.#path('clock'),
        `must be a Uint8Array or a Date, not ${describe(clock)}`,
      )
    }
  }

  /** Writes the content type and gives the kind of payload that it means. */
  #contentType(given: unknown, payload: unknown, at: number): number {
    const bytes = isUint8(payload)
    let kind: number
    if (given !== undefined) {
      this.#text(given, at + 20, 'contentType')
      kind = kindOf(given as string)
      checkPayloadKind(payload, bytes, given as string, kind, `events[${this.#index}]`)
      return bytes ? KIND_BYTES : kind
    }
    if (payload === undefined) return KIND_NONE
    if (bytes) kind = KIND_BYTES
    else kind = typeof payload === 'string' ? KIND_TEXT : KIND_JSON
    // The engine knows the usual types by the number of their kind.
    this.packer.bytes[at + USUAL_TYPE] = kind
    return kind
  }

  #payload(payload: unknown, kind: number, lengthAt: number): void {
    if (kind === KIND_BYTES) {
      const bytes = payload as Uint8Array
      if (bytes.length > LEFT_BYTES && this.#canLeave(bytes)) this.#leave(bytes, lengthAt)
      else this.#bytes(bytes, lengthAt, 'payload')
    } else if (kind === KIND_TEXT) {
      const text = payload as string
      if (text.length > HARD_PAYLOAD_LIMIT) {
        throw this.#tooLarge('payload', Buffer.byteLength(text, 'utf8'))
      }
      this.#text(text, lengthAt, 'payload')
    } else this.#jsonValue(payload, lengthAt, 'payload')
  }

  #canLeave(bytes: Uint8Array): boolean {
    return this.#canPause && bytes.buffer instanceof ArrayBuffer
  }

  /** A payload comes last in an event: it need not be copied now. */
  #leave(bytes: Uint8Array, lengthAt: number): void {
    const { length } = bytes
    if (length > HARD_PAYLOAD_LIMIT) throw this.#tooLarge('payload', length)
    this.packer.view.setUint32(lengthAt, length, true)
    this.#remainder = { bytes, length, argument: this.#path('payload') }
  }

  #jsonValue(value: unknown, lengthAt: number, field: string): void {
    const { packer } = this
    const start = packer.at
    this.#json.write(value, field, this.#index)
    packer.view.setUint32(lengthAt, packer.at - start, true)
  }

  /** Writes the metadata and gives its kind. */
  #metadata(metadata: unknown, lengthAt: number): number {
    if (metadata === undefined) return METADATA_NONE
    if (isUint8(metadata)) {
      this.#bytes(metadata, lengthAt, 'metadata')
      return METADATA_BYTES
    }
    this.#jsonValue(metadata, lengthAt, 'metadata')
    return METADATA_JSON
  }

  #tags(tags: unknown, countAt: number): void {
    if (!Array.isArray(tags)) {
      throw invalidArgument(
        this.#path('tags'),
        `must be an array of strings, not ${describe(tags)}`,
      )
    }
    const { packer } = this
    const { length } = tags
    for (let i = 0; i < length; i++) {
      const tag: unknown = tags[i]
      if (typeof tag !== 'string') {
        throw invalidArgument(this.#path(`tags[${i}]`), `must be a string, not ${describe(tag)}`)
      }
      packer.u32(0)
      const start = packer.at
      if (!packer.text(tag)) throw notUnicode(this.#path(`tags[${i}]`))
      packer.view.setUint32(start - 4, packer.at - start, true)
    }
    packer.view.setUint32(countAt, length, true)
  }

  #expect(expect: unknown, at: number): void {
    if (this.#expectGiven) {
      throw invalidArgument(
        this.#path('expect'),
        'cannot be given together with options.expect: use one of them',
      )
    }
    const { packer } = this
    const kind = kindOfExpectation(expect)
    if (kind === NO_EXPECTATION) throw refusedExpectation(expect, this.#path('expect'))
    packer.bytes[at + 2] = kind
    if (kind === EXPECT_VERSION) packer.view.setFloat64(at + 36, expect as number, true)
  }

  /** All events of an append have an id, or none has: half of them could not be told apart later. */
  #id(id: unknown, at: number, index: number): boolean {
    const given = id !== undefined
    if (index === 0) this.#withIds = given
    else if (given !== this.#withIds) {
      throw invalidArgument(
        this.#path('id'),
        given
          ? 'is given, but not on the events before it: give all events of an append an id, or none'
          : 'is missing, but the events before it have one: give all events of an append an id, or none',
      )
    }
    if (given) writeUuid(this.packer.bytes, at, id, this.#path('id'))
    return given
  }
}

/** Whether looking for unknown keys is worth while; counting them makes no garbage. */
function hasMoreKeys(value: object, given: number): boolean {
  let count = 0
  for (const _ in value) if (++count > given) return true
  return false
}
