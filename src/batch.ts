// A packed batch of events: where its fields are, and its strings, each decoded once.
import { kindOf } from './payload.js'
import type { SymbolCache } from './symbols.js'
import type { Bytes, EntityInfo } from './types.js'
import { readUuid } from './uuid.js'

export const BATCH_HEADER = 32
export const ROW_BYTES = 64
export const SYMBOL_BYTES = 16
export const LINK_BYTES = 32
export const UUID_BYTES = 16
export const FLAG_PREVIOUS_LINKS = 1
export const FLAG_LAST = 2

/** Offsets in the header. */
export const HEADER = {
  count: 0,
  symbols: 4,
  flags: 8,
  rowsAt: 12,
  symbolsAt: 16,
  head: 24,
} as const

/** Offsets in the row of a symbol. */
export const SYMBOL = { key: 0, offset: 8, length: 12 } as const

/** Offsets in a row. */
export const ROW = {
  position: 0,
  version: 8,
  recordedAtUs: 16,
  entity: 24,
  fact: 28,
  scope: 32,
  contentType: 36,
  fixed: 40,
  payloadOffset: 44,
  payloadLength: 48,
  metadataOffset: 52,
  metadataLength: 56,
  clockLength: 60,
  metadataKind: 61,
  tagCount: 62,
} as const

/** Whether nothing comes behind a packed batch. */
export function isLast(bytes: Uint8Array): boolean {
  return ((bytes[HEADER.flags] as number) & FLAG_LAST) !== 0
}

/** What events need that is not in their batch. */
export interface BatchSource {
  readonly symbols: SymbolCache
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
  /** Undefined for a detached event, which has everything and whose bytes are its own. */
  readonly #source: BatchSource | undefined
  readonly #hasPreviousLinks: boolean
  readonly #rowsAt: number
  readonly #symbolsAt: number
  readonly #symbols: (string | undefined)[] = []
  readonly #kinds: (number | undefined)[] = []
  #text: Buffer | undefined
  /** Previous links of the rows from one on. */
  #links: Bytes | undefined
  #linksFrom = 0

  /** `view` is of all the bytes; the batch begins at `at`. */
  constructor(
    bytes: Uint8Array,
    source: BatchSource | undefined,
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
    this.#hasPreviousLinks = (flags & FLAG_PREVIOUS_LINKS) !== 0
    this.#rowsAt = at + view.getUint32(at + HEADER.rowsAt, true)
    this.#symbolsAt = at + view.getUint32(at + HEADER.symbolsAt, true)
  }

  /** The head that bounds the read; -1 of an empty log. */
  get head(): number {
    return this.view.getFloat64(this.#at + HEADER.head, true)
  }

  /** The bytes from the batch's first one on, for decoding text. */
  get text(): Buffer {
    const length = this.#bytes.byteLength - this.#at
    this.#text ??= Buffer.from(this.#buffer, this.#byteOffset, length)
    return this.#text
  }

  /** Where the row of an event stands. */
  row(index: number): number {
    return this.#rowsAt + index * ROW_BYTES
  }

  symbol(number: number): string {
    return this.#symbols[number] ?? this.#findSymbol(number)
  }

  #findSymbol(number: number): string {
    const key = this.view.getFloat64(this.#symbolsAt + number * SYMBOL_BYTES + SYMBOL.key, true)
    let text = this.#source?.symbols.get(key)
    if (text === undefined) {
      text = this.#decodeSymbol(number)
      this.#source?.symbols.set(key, text)
    }
    this.#symbols[number] = text
    return text
  }

  #decodeSymbol(number: number): string {
    const at = this.#symbolsAt + number * SYMBOL_BYTES
    const offset = this.view.getUint32(at + SYMBOL.offset, true)
    return this.text.toString(
      'utf8',
      offset,
      offset + this.view.getUint32(at + SYMBOL.length, true),
    )
  }

  /** One of the KIND_* of payloads, by the symbol of the content type. */
  kind(symbol: number): number {
    let kind = this.#kinds[symbol]
    if (kind === undefined) {
      kind = kindOf(this.symbol(symbol))
      this.#kinds[symbol] = kind
    }
    return kind
  }

  slice(offset: number, length: number): Bytes {
    const bytes = new Uint8Array(this.#buffer, this.#byteOffset + offset, length)
    return this.#source === undefined ? bytes.slice() : bytes
  }

  /** Offset of the event's link; its tags end here. */
  #linkAt(row: number): number {
    return this.view.getUint32(row + ROW.fixed, true) + this.view.getUint8(row + ROW.tagCount) * 4
  }

  #idAt(row: number): number {
    return this.#linkAt(row) + (this.#hasPreviousLinks ? 2 : 1) * LINK_BYTES
  }

  link(row: number): Bytes {
    return this.slice(this.#linkAt(row), LINK_BYTES)
  }

  previousLink(row: number): Bytes {
    if (this.#hasPreviousLinks) return this.slice(this.#linkAt(row) + LINK_BYTES, LINK_BYTES)
    if (this.view.getFloat64(row + ROW.version, true) === 0) return new Uint8Array(LINK_BYTES)
    const index = (row - this.#rowsAt) / ROW_BYTES
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
    const links = (this.#source as BatchSource).previousLinks(positions)
    this.#links = links
    this.#linksFrom = index
    return links
  }

  id(row: number): string {
    return readUuid(this.#bytes, this.#at + this.#idAt(row))
  }

  clock(row: number): Bytes {
    return this.slice(this.#idAt(row) + UUID_BYTES, this.view.getUint8(row + ROW.clockLength))
  }

  tags(row: number): readonly string[] {
    const count = this.view.getUint8(row + ROW.tagCount)
    if (count === 0) return NO_TAGS
    const at = this.#at + this.view.getUint32(row + ROW.fixed, true)
    const tags: string[] = []
    for (let i = 0; i < count; i++) tags.push(this.symbol(this.view.getUint32(at + i * 4, true)))
    return Object.freeze(tags)
  }
}

const NO_TAGS: readonly string[] = Object.freeze([])

/** What a batch holds. */
export interface Decoded<T> {
  readonly items: T[]
  /** Whether nothing comes behind it. */
  readonly last: boolean
  /** The head that bounds the read; -1 of an empty log. */
  readonly head: number
}

const ENTITY_HEADER = 8
const ENTITY_ROW_BYTES = 24

/** A packed batch of entities, as plain objects. */
export function decodeEntities(bytes: Uint8Array): Decoded<EntityInfo> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = view.getUint32(0, true)
  const entities: EntityInfo[] = []
  for (let i = 0; i < count; i++) {
    const at = ENTITY_HEADER + i * ENTITY_ROW_BYTES
    const offset = view.getUint32(at + 16, true)
    const length = view.getUint32(at + 20, true)
    entities.push({
      entity: buffer.toString('utf8', offset, offset + length),
      version: view.getFloat64(at, true),
      position: view.getFloat64(at + 8, true),
    })
  }
  return { items: entities, last: (view.getUint32(4, true) & FLAG_LAST) !== 0, head: Number.NaN }
}
