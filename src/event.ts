// An event as a light view over its batch: a field is decoded when it is asked for.
import { type InspectOptions, inspect } from 'node:util'
import { type BatchSource, type Decoded, EventBatch, ROW } from './batch.js'
import { decodeJson, decodeText, KIND_JSON, KIND_NONE, KIND_TEXT } from './payload.js'
import type { Bytes, EventJson, EventView, RecordedEvent } from './types.js'

const UNREAD = Symbol('unread')

class LogEvent implements EventView<string, unknown, unknown> {
  readonly #batch: EventBatch
  readonly #row: number
  #payload: unknown = UNREAD
  #metadata: unknown = UNREAD
  #tags: readonly string[] | undefined

  constructor(batch: EventBatch, row: number) {
    this.#batch = batch
    this.#row = row
  }

  #f64(field: number): number {
    return this.#batch.view.getFloat64(this.#row + field, true)
  }

  #u32(field: number): number {
    return this.#batch.view.getUint32(this.#row + field, true)
  }

  get position(): number {
    return this.#f64(ROW.position)
  }

  get version(): number {
    return this.#f64(ROW.version)
  }

  get entity(): string {
    return this.#batch.string(this.#row, ROW.entity)
  }

  get fact(): string {
    return this.#batch.string(this.#row, ROW.fact)
  }

  get scope(): string {
    return this.#batch.string(this.#row, ROW.scope)
  }

  get clock(): Bytes {
    return this.#batch.clock(this.#row)
  }

  get id(): string {
    return this.#batch.id(this.#row)
  }

  get tags(): readonly string[] {
    this.#tags ??= this.#batch.tags(this.#row)
    return this.#tags
  }

  get contentType(): string {
    return this.#batch.string(this.#row, ROW.contentType)
  }

  get recordedAt(): Date {
    return new Date(Math.floor(this.recordedAtUs / 1000))
  }

  get recordedAtUs(): number {
    return this.#f64(ROW.recordedAtUs)
  }

  get payload(): unknown {
    if (this.#payload === UNREAD) this.#payload = this.#decodePayload()
    return this.#payload
  }

  #decodePayload(): unknown {
    switch (this.#batch.kind(this.#row)) {
      case KIND_NONE:
        return undefined
      case KIND_JSON:
        return this.json()
      case KIND_TEXT:
        return this.text()
      default:
        return this.bytes()
    }
  }

  get metadata(): unknown {
    if (this.#metadata === UNREAD) this.#metadata = this.#decodeMetadata()
    return this.#metadata
  }

  #decodeMetadata(): unknown {
    const kind = this.#batch.view.getUint8(this.#row + ROW.metadataKind)
    if (kind === 0) return undefined
    if (kind === 1) return this.#batch.metadata(this.#row)
    const end = this.#u32(ROW.payloadOffset)
    return decodeJson(this.#batch.buffer, end - this.#u32(ROW.metadataLength), end, this)
  }

  bytes(): Bytes {
    return this.#batch.payload(this.#row)
  }

  text(): string {
    const offset = this.#u32(ROW.payloadOffset)
    return decodeText(this.#batch.buffer, offset, offset + this.#u32(ROW.payloadLength), this)
  }

  json(): unknown
  json<T>(): T
  json(): unknown {
    const offset = this.#u32(ROW.payloadOffset)
    return decodeJson(this.#batch.buffer, offset, offset + this.#u32(ROW.payloadLength), this)
  }

  get link(): Bytes {
    return this.#batch.link(this.#row)
  }

  get previousLink(): Bytes {
    return this.#batch.previousLink(this.#row)
  }

  detach(): this {
    const batch = this.#batch.alone(this.#row)
    return new LogEvent(batch, batch.row(0)) as this
  }

  toJSON(): EventJson {
    return this.#toObject(this.payload, this.metadata, hex(this.previousLink))
  }

  #toObject(payload: unknown, metadata: unknown, previousLink: string): EventJson {
    return {
      position: this.position,
      version: this.version,
      entity: this.entity,
      fact: this.fact,
      scope: this.scope,
      clock: hex(this.clock),
      id: this.id,
      tags: [...this.tags],
      recordedAt: isoMicroseconds(this.recordedAtUs),
      contentType: this.contentType,
      ...(payload === undefined ? undefined : { payload: plain(payload) }),
      ...(metadata === undefined ? undefined : { metadata: plain(metadata) }),
      link: hex(this.link),
      previousLink,
    }
  }

  /** To look at an event never fails, whatever its payload is, and whatever became of its neighbours. */
  [inspect.custom](_depth: number, options: InspectOptions, inner: typeof inspect): string {
    const payload = unlessItThrows(
      () => this.payload,
      () => this.bytes(),
    )
    const metadata = unlessItThrows(
      () => this.metadata,
      () => this.#batch.metadata(this.#row),
    )
    const previousLink = unlessItThrows(
      () => hex(this.previousLink),
      () => '(cannot be read)',
    )
    return `Event ${inner(this.#toObject(payload, metadata, previousLink), options)}`
  }
}

function unlessItThrows<T, U>(read: () => T, otherwise: () => U): T | U {
  try {
    return read()
  } catch {
    return otherwise()
  }
}

function hex(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value
}

function isoMicroseconds(us: number): string {
  const ms = Math.floor(us / 1000)
  const rest = String(us - ms * 1000).padStart(3, '0')
  return new Date(ms).toISOString().replace('Z', `${rest}Z`)
}

/** The events of a batch, in its order. */
export function decodeEvents(bytes: Uint8Array, source: BatchSource): Decoded<RecordedEvent> {
  const batch = new EventBatch(bytes, source)
  const { count, last, head } = batch
  // A loop of its own, because one that calls a function for each event costs a tenth more.
  const items = (from: number, to: number): LogEvent[] => {
    const events: LogEvent[] = []
    for (let index = from; index < to; index++) events.push(new LogEvent(batch, batch.row(index)))
    return events
  }
  return { count, last, head, items }
}

/** The event of a batch that has exactly one. */
export function decodeEvent(
  bytes: Uint8Array,
  source: BatchSource,
  at?: number,
  view?: DataView,
): RecordedEvent {
  const batch = new EventBatch(bytes, source, at, view)
  return new LogEvent(batch, batch.row(0))
}
