// A packed batch of events: where its fields are, and its strings, each decoded once.
import { kindOf } from './payload.js'
import type { Bytes, EntityInfo } from './types.js'
import { readUuid } from './uuid.js'

export const BATCH_HEADER = 16
export const ROW_BYTES = 64
export const SYMBOL_BYTES = 8
export const LINK_BYTES = 32
export const UUID_BYTES = 16
export const FLAG_PREVIOUS_LINKS = 1

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

/** Where the link of an event before the batch comes from. */
export type LinkSource = (position: number) => Uint8Array

const NO_LINKS: LinkSource = () => new Uint8Array(LINK_BYTES)

export class EventBatch {
  readonly count: number
  readonly buffer: Buffer
  readonly view: DataView
  /** Its events are copies that own their bytes. */
  readonly detached: boolean
  readonly #links: LinkSource
  readonly #hasPreviousLinks: boolean
  readonly #symbolsAt: number
  readonly #symbols: (string | undefined)[] = []
  readonly #kinds: (number | undefined)[] = []

  constructor(bytes: Uint8Array, links: LinkSource = NO_LINKS, detached = false) {
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.detached = detached
    this.#links = links
    this.count = this.view.getUint32(0, true)
    this.#hasPreviousLinks = (this.view.getUint32(8, true) & FLAG_PREVIOUS_LINKS) !== 0
    this.#symbolsAt = BATCH_HEADER + this.count * ROW_BYTES
  }

  static row(index: number): number {
    return BATCH_HEADER + index * ROW_BYTES
  }

  symbol(number: number): string {
    return this.#symbols[number] ?? this.#decodeSymbol(number)
  }

  #decodeSymbol(number: number): string {
    const at = this.#symbolsAt + number * SYMBOL_BYTES
    const offset = this.view.getUint32(at, true)
    const length = this.view.getUint32(at + 4, true)
    const text = this.buffer.toString('utf8', offset, offset + length)
    this.#symbols[number] = text
    return text
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
    const { buffer } = this
    const bytes = new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset + offset, length)
    return this.detached ? bytes.slice() : bytes
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
    return Uint8Array.from(this.#links(this.view.getFloat64(row + ROW.position, true)))
  }

  id(row: number): string {
    return readUuid(this.buffer, this.#idAt(row))
  }

  clock(row: number): Bytes {
    return this.slice(this.#idAt(row) + UUID_BYTES, this.view.getUint8(row + ROW.clockLength))
  }

  tags(row: number): readonly string[] {
    const at = this.view.getUint32(row + ROW.fixed, true)
    const count = this.view.getUint8(row + ROW.tagCount)
    const tags: string[] = []
    for (let i = 0; i < count; i++) tags.push(this.symbol(this.view.getUint32(at + i * 4, true)))
    return Object.freeze(tags)
  }
}

const ENTITY_HEADER = 8
const ENTITY_ROW_BYTES = 24

/** A packed batch of entities, as plain objects. */
export function decodeEntities(bytes: Uint8Array): EntityInfo[] {
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
  return entities
}
