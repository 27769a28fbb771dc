// A packed batch of events: the records as they stand in the log, and a row for each that says where
// its fields are.
import { KIND_NONE, kindOf } from './payload.js'
import type { Texts } from './texts.js'
import type { Bytes, EntityInfo } from './types.js'
import { readUuid } from './uuid.js'

const BATCH_HEADER = 24
const ROW_BYTES = 64
const LINK_BYTES = 32
const UUID_BYTES = 16
const FLAG_PREVIOUS_LINKS = 1
const FLAG_LAST = 2

/** Offsets in the header. */
const HEADER = { count: 0, flags: 4, rowsAt: 8, head: 16 } as const

/** Offsets in a row. */
export const ROW = {
  position: 0,
  version: 8,
  recordedAtUs: 16,
  /** The engine's number of the segment, whose definitions the four after it refer to. */
  serial: 24,
  entity: 28,
  fact: 32,
  scope: 36,
  contentType: 40,
  /** The record: its link stands at its ninth byte. */
  record: 44,
  /** Behind the metadata, up to the end of the record. */
  payloadOffset: 48,
  payloadLength: 52,
  metadataLength: 56,
  /** In the record: the id, with the clock in front of it and the tags behind it. */
  idAt: 60,
  clockLength: 61,
  metadataKind: 62,
  tagCount: 63,
} as const

/** Offset of the link in a record. */
const LINK_AT = 8

/** Whether nothing comes behind a packed batch. */
export function isLast(bytes: Uint8Array): boolean {
  return ((bytes[HEADER.flags] as number) & FLAG_LAST) !== 0
}

/** What events need that is not in their batch. */
export interface BatchSource {
  readonly texts: Texts
  /** The previous links of the events at some positions; of the first one at least. */
  previousLinks(positions: Float64Array): Bytes
}

/** Previous links asked for at once: so many take a fraction of a millisecond. */
const LINKS_AT_ONCE = 256

export class EventBatch {
  readonly count: number
  readonly view: DataView
  /** Whether nothing comes behind it. */
  readonly last: boolean
  readonly #bytes: Uint8Array
  /** Where the batch begins in them. */
  readonly #at: number
  // Kept beside the bytes, which give them by a call each time.
  readonly #buffer: ArrayBuffer
  readonly #byteOffset: number
  readonly #source: BatchSource
  readonly #texts: Texts
  readonly #hasPreviousLinks: boolean
  readonly #rowsAt: number
  #wrapped: Buffer | undefined
  // Of the content type met last, how its payloads are read: most neighbours share it.
  #typeSerial = -1
  #type = -1
  #kind = KIND_NONE
  /** Previous links of the rows from one on. */
  #links: Bytes | undefined
  #linksFrom = 0

  /** `view` is of all the bytes; the batch begins at `at`. */
  constructor(
    bytes: Uint8Array,
    source: BatchSource,
    at = 0,
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  ) {
    const flags = view.getUint32(at + HEADER.flags, true)
    this.view = view
    this.count = view.getUint32(at + HEADER.count, true)
    this.last = (flags & FLAG_LAST) !== 0
    this.#bytes = bytes
    this.#at = at
    this.#buffer = bytes.buffer as ArrayBuffer
    this.#byteOffset = bytes.byteOffset + at
    this.#source = source
    this.#texts = source.texts
    this.#hasPreviousLinks = (flags & FLAG_PREVIOUS_LINKS) !== 0
    this.#rowsAt = at + view.getUint32(at + HEADER.rowsAt, true)
  }

  /** The head that bounds the read; -1 of an empty log. */
  get head(): number {
    return this.view.getFloat64(this.#at + HEADER.head, true)
  }

  /** The bytes from the batch's first one on, for decoding text. */
  get buffer(): Buffer {
    const length = this.#bytes.byteLength - this.#at
    this.#wrapped ??= Buffer.from(this.#buffer, this.#byteOffset, length)
    return this.#wrapped
  }

  /** Where the row of an event stands. */
  row(index: number): number {
    return this.#rowsAt + index * ROW_BYTES
  }

  #u32(at: number): number {
    return this.view.getUint32(at, true)
  }

  /** The string that a field of a row refers to. */
  string(row: number, field: number): string {
    return this.#string(row, this.#u32(row + field))
  }

  #string(row: number, reference: number): string {
    if (reference === 0) return ''
    const serial = this.#u32(row + ROW.serial)
    return (
      this.#texts.get(serial, reference) ??
      this.#texts.find(serial, reference, this.view.getFloat64(row + ROW.position, true))
    )
  }

  /** One of the KIND_* of payloads. */
  kind(row: number): number {
    const type = this.#u32(row + ROW.contentType)
    if (type === 0) return KIND_NONE
    const serial = this.#u32(row + ROW.serial)
    if (type !== this.#type || serial !== this.#typeSerial) {
      this.#kind = kindOf(this.#string(row, type))
      this.#type = type
      this.#typeSerial = serial
    }
    return this.#kind
  }

  slice(offset: number, length: number): Bytes {
    return new Uint8Array(this.#buffer, this.#byteOffset + offset, length)
  }

  payload(row: number): Bytes {
    return this.slice(this.#u32(row + ROW.payloadOffset), this.#u32(row + ROW.payloadLength))
  }

  metadata(row: number): Bytes {
    const length = this.#u32(row + ROW.metadataLength)
    return this.slice(this.#u32(row + ROW.payloadOffset) - length, length)
  }

  link(row: number): Bytes {
    return this.slice(this.#u32(row + ROW.record) + LINK_AT, LINK_BYTES)
  }

  previousLink(row: number): Bytes {
    const index = (row - this.#rowsAt) / ROW_BYTES
    if (this.#hasPreviousLinks) {
      const at = this.row(this.count) + index * LINK_BYTES
      // It may be damaged if it begins with zeros: then asking for it says so.
      if (this.#u32(at) !== 0) return this.slice(at - this.#at, LINK_BYTES)
    }
    if (this.view.getFloat64(row + ROW.version, true) === 0) return new Uint8Array(LINK_BYTES)
    let at = (index - this.#linksFrom) * LINK_BYTES
    let links = this.#links
    if (links === undefined || at < 0 || at >= links.length) {
      links = this.#askForLinks(index)
      at = 0
    }
    return new Uint8Array(links.buffer, links.byteOffset + at, LINK_BYTES)
  }

  /** Previous links of the rows from one on: its neighbours will be asked for theirs too. */
  #askForLinks(index: number): Bytes {
    const positions = new Float64Array(Math.min(this.count - index, LINKS_AT_ONCE))
    for (let i = 0; i < positions.length; i++) {
      positions[i] = this.view.getFloat64(this.row(index + i) + ROW.position, true)
    }
    const links = this.#source.previousLinks(positions)
    this.#links = links
    this.#linksFrom = index
    return links
  }

  #idAt(row: number): number {
    return this.#u32(row + ROW.record) + this.view.getUint8(row + ROW.idAt)
  }

  id(row: number): string {
    return readUuid(this.#bytes, this.#at + this.#idAt(row))
  }

  clock(row: number): Bytes {
    const length = this.view.getUint8(row + ROW.clockLength)
    return this.slice(this.#idAt(row) - length, length)
  }

  tags(row: number): readonly string[] {
    const count = this.view.getUint8(row + ROW.tagCount)
    if (count === 0) return NO_TAGS
    return Object.freeze(this.#tagReferences(row, count).map((tag) => this.#string(row, tag)))
  }

  /** As they stand in the record, in LEB128, behind their count. */
  #tagReferences(row: number, count: number): number[] {
    const references: number[] = []
    let at = this.#at + this.#idAt(row) + UUID_BYTES + 1
    for (let i = 0; i < count; i++) {
      let reference = 0
      for (let shift = 0, more = true; more; shift += 7) {
        const byte = this.#bytes[at++] as number
        reference |= (byte & 0x7f) << shift
        more = byte >= 0x80
      }
      references.push(reference >>> 0)
    }
    return references
  }

  /** A batch of one event alone, with its previous link, its strings and bytes of its own. */
  alone(row: number): EventBatch {
    const record = this.#u32(row + ROW.record)
    const payload = this.#u32(row + ROW.payloadOffset)
    const length = payload + this.#u32(row + ROW.payloadLength) - record
    const rowsAt = BATCH_HEADER + length
    const bytes = new Uint8Array(rowsAt + ROW_BYTES + LINK_BYTES)
    bytes.set(this.slice(record, length), BATCH_HEADER)
    bytes.set(this.slice(row - this.#at, ROW_BYTES), rowsAt)
    bytes.set(this.previousLink(row), rowsAt + ROW_BYTES)
    const view = new DataView(bytes.buffer)
    view.setUint32(HEADER.count, 1, true)
    view.setUint32(HEADER.flags, FLAG_PREVIOUS_LINKS, true)
    view.setUint32(HEADER.rowsAt, rowsAt, true)
    view.setUint32(rowsAt + ROW.record, BATCH_HEADER, true)
    view.setUint32(rowsAt + ROW.payloadOffset, BATCH_HEADER + payload - record, true)
    return new DetachedBatch(bytes, { texts: this.#textsOf(row), previousLinks: hasItsOwn })
  }

  /** All the strings of an event. */
  #textsOf(row: number): Texts {
    const fields = [ROW.entity, ROW.fact, ROW.scope, ROW.contentType]
    const count = this.view.getUint8(row + ROW.tagCount)
    const own = fields.map((field) => this.#u32(row + field))
    const references = [...own, ...this.#tagReferences(row, count)]
    const texts = new Map(references.map((each) => [each, this.#string(row, each)]))
    const get = (_serial: number, reference: number): string => texts.get(reference) as string
    return { get, find: get }
  }
}

/** Of one event that keeps nothing else alive: its byte fields do not even keep each other alive. */
class DetachedBatch extends EventBatch {
  override slice(offset: number, length: number): Bytes {
    return super.slice(offset, length).slice()
  }
}

const NO_TAGS: readonly string[] = Object.freeze([])

/** A batch of one event alone has its link in it. */
function hasItsOwn(): never {
  throw new Error('a detached event has its previous link')
}

/** What a batch holds: decoded some at a time, so that neither the thread nor a collection is busy long. */
export interface Decoded<T> {
  readonly count: number
  /** Whether nothing comes behind it. */
  readonly last: boolean
  /** The head that bounds the read; -1 of an empty log. */
  readonly head: number
  /** Those from one index on, before another one. */
  items(from: number, to: number): T[]
}

const ENTITY_HEADER = 8
const ENTITY_ROW_BYTES = 24

/** A packed batch of entities, as plain objects. */
export function decodeEntities(bytes: Uint8Array): Decoded<EntityInfo> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entity = (index: number): EntityInfo => {
    const at = ENTITY_HEADER + index * ENTITY_ROW_BYTES
    const offset = view.getUint32(at + 16, true)
    const length = view.getUint32(at + 20, true)
    return {
      entity: buffer.toString('utf8', offset, offset + length),
      version: view.getFloat64(at, true),
      position: view.getFloat64(at + 8, true),
    }
  }
  return {
    count: view.getUint32(0, true),
    last: (view.getUint32(4, true) & FLAG_LAST) !== 0,
    head: Number.NaN,
    items: (from, to) => Array.from({ length: to - from }, (_, nth) => entity(from + nth)),
  }
}
