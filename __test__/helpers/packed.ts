// Readers and writers of the packed layouts, written apart from those of src: a mistake must not
// cancel itself out.

export class PackedReader {
  readonly bytes: Buffer
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes)
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length
  }

  u8(): number {
    return this.bytes.readUInt8(this.at++)
  }

  u32(): number {
    this.at += 4
    return this.bytes.readUInt32LE(this.at - 4)
  }

  f64(): number {
    this.at += 8
    return this.bytes.readDoubleLE(this.at - 8)
  }

  raw(length: number): Buffer {
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  text(length = this.u32()): string {
    return this.raw(length).toString('utf8')
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read)
  }
}

function readPatterns(from: PackedReader): [number, string][] {
  return from.list(() => [from.u8(), from.text()])
}

export function readFilter(from: PackedReader): Record<string, unknown> {
  const present = from.u8()
  const filter: Record<string, unknown> = {}
  if (present & 1) filter.entity = readPatterns(from)
  if (present & 2) filter.fact = from.list(() => from.text())
  if (present & 4) filter.scope = readPatterns(from)
  if (present & 8) {
    const bounds = from.u8()
    const clock: Record<string, string> = {}
    for (const [bit, name] of [
      [1, 'from'],
      [2, 'to'],
      [4, 'before'],
    ] as const) {
      if (bounds & bit) clock[name] = from.raw(from.u32()).toString('hex')
    }
    filter.clock = clock
  }
  if (present & 16) filter.any = from.list(() => from.text())
  if (present & 32) filter.all = from.list(() => from.text())
  return filter
}

export function readFilters(from: PackedReader): Record<string, unknown>[] {
  return from.list(() => readFilter(from))
}

export interface PackedEvent {
  entity: string
  fact: string
  scope: string
  clock: string | undefined
  contentType: string
  tags: string[]
  metadata: Buffer
  metadataKind: number
  payload: Buffer | undefined
  expect: [number, number]
  id: string | undefined
}

const USUAL_TYPES = ['', 'application/json', 'text/plain', 'application/octet-stream']

function readEvent(from: PackedReader): PackedEvent {
  const flags = from.u8()
  const metadataKind = from.u8()
  const expectKind = from.u8()
  const usualType = USUAL_TYPES[from.u8()]
  if (usualType === undefined) throw new Error('a content type has no known number')
  const [entity, fact, scope, clock, contentType, tagCount, metadata, payload] = Array.from(
    { length: 8 },
    () => from.u32(),
  ) as [number, number, number, number, number, number, number, number]
  const expectVersion = from.f64()
  const id = from.raw(16).toString('hex')
  return {
    entity: from.text(entity),
    fact: from.text(fact),
    scope: from.text(scope),
    clock: flags & 1 ? from.raw(clock).toString('hex') : undefined,
    contentType: from.text(contentType) || usualType,
    tags: Array.from({ length: tagCount }, () => from.text()),
    metadata: from.raw(metadata),
    metadataKind,
    payload: flags & 4 ? from.raw(payload) : undefined,
    expect: [expectKind, expectVersion],
    id: flags & 2 ? id : undefined,
  }
}

export interface PackedAppend {
  sequence: number
  durability: number
  expect: [number, number]
  map: [string, number, number][]
  unless: { after: number; filters: Record<string, unknown>[] }[]
  events: PackedEvent[]
}

export function readSubmission(bytes: Uint8Array): PackedAppend[] {
  const from = new PackedReader(bytes)
  const appends: PackedAppend[] = []
  while (!from.atEnd) {
    const end = from.at + from.u32()
    const sequence = from.u32()
    const durability = from.u8()
    const kind = from.u8()
    from.at += 2
    const version = from.f64()
    const eventCount = from.u32()
    const mapCount = from.u32()
    const unlessCount = from.u32()
    const map = Array.from({ length: mapCount }, (): [string, number, number] => [
      from.text(),
      from.u8(),
      from.f64(),
    ])
    const unless = Array.from({ length: unlessCount }, () => ({
      after: from.f64(),
      filters: readFilters(from),
    }))
    const events = Array.from({ length: eventCount }, () => readEvent(from))
    if (from.at !== end) throw new Error(`an append ends at ${from.at}, not at ${end}`)
    appends.push({ sequence, durability, expect: [kind, version], map, unless, events })
  }
  return appends
}

export function readSpec(bytes: Uint8Array): Record<string, unknown> {
  const from = new PackedReader(bytes)
  const kind = from.u8()
  const flags = from.u8()
  from.at += 6
  const [start, after, asOf, limit] = [from.f64(), from.f64(), from.f64(), from.f64()]
  const spec: Record<string, unknown> = { kind, flags, from: start, after, asOf, limit }
  if (kind === 1) spec.entity = from.text()
  if (kind === 2) spec.filters = readFilters(from)
  if (kind === 3) {
    spec.prefix = from.text()
    const hasAfter = from.u8()
    const name = from.text()
    if (hasAfter) spec.afterName = name
  }
  if (!from.atEnd) throw new Error('bytes are left over behind a spec')
  return spec
}

export interface BatchRow {
  position?: number
  version?: number
  recordedAtUs?: number
  entity?: string
  fact?: string
  scope?: string
  contentType?: string
  tags?: string[]
  link?: Uint8Array
  previousLink?: Uint8Array
  id?: string
  clock?: Uint8Array
  payload?: Uint8Array
  metadata?: Uint8Array
  metadataKind?: number
}

export interface BatchFields {
  withPreviousLinks?: boolean
  last?: boolean
  head?: number
  /** Knows the strings that rows refer to. */
  strings?: Strings
}

/** Strings by what rows refer to them with: as the engine's segment, but all in one. */
export class Strings {
  readonly #texts: string[] = []

  reference(text: string): number {
    if (text === '') return 0
    if (!this.#texts.includes(text)) this.#texts.push(text)
    return 5000 + this.#texts.indexOf(text) * 300
  }

  text(reference: number): string {
    return this.#texts[(reference - 5000) / 300] as string
  }
}

/** The segment that rows are from. */
export const SERIAL = 3

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...leb128(Math.floor(value / 128))]
}

/** A batch as the engine packs it; placed off the start of its buffer, as a view may be. */
export function packBatch(rows: readonly BatchRow[], fields: BatchFields = {}): Uint8Array {
  const { withPreviousLinks = false, last = false, head = 41, strings = new Strings() } = fields
  const table = Buffer.alloc(rows.length * 64)
  const records: Buffer[] = []
  let end = 24
  rows.forEach((row, i) => {
    const clock = row.clock ?? new Uint8Array(8)
    const id = (row.id ?? '00000000-0000-0000-0000-000000000000').replaceAll('-', '')
    const tags = (row.tags ?? []).flatMap((tag) => leb128(strings.reference(tag)))
    const payload = row.payload ?? new Uint8Array(0)
    const metadata = row.metadata ?? new Uint8Array(0)
    // CRC, length, the link, what nobody looks at, and the clock.
    const start = Buffer.concat([Buffer.alloc(8), row.link ?? new Uint8Array(32), Buffer.alloc(13)])
    const front = Buffer.concat([start, clock])
    const tagCount = row.tags?.length ?? 0
    const behind = tagCount > 0 ? Buffer.from([tagCount, ...tags]) : Buffer.alloc(0)
    const record = Buffer.concat([front, Buffer.from(id, 'hex'), behind, metadata, payload])
    const at = i * 64
    table.writeDoubleLE(row.position ?? i, at)
    table.writeDoubleLE(row.version ?? 0, at + 8)
    table.writeDoubleLE(row.recordedAtUs ?? 0, at + 16)
    table.writeUInt32LE(SERIAL, at + 24)
    table.writeUInt32LE(strings.reference(row.entity ?? 'e'), at + 28)
    table.writeUInt32LE(strings.reference(row.fact ?? 'f'), at + 32)
    table.writeUInt32LE(strings.reference(row.scope ?? ''), at + 36)
    table.writeUInt32LE(strings.reference(row.contentType ?? ''), at + 40)
    table.writeUInt32LE(end, at + 44)
    table.writeUInt32LE(end + record.length - payload.length, at + 48)
    table.writeUInt32LE(payload.length, at + 52)
    table.writeUInt32LE(metadata.length, at + 56)
    table.writeUInt8(front.length, at + 60)
    table.writeUInt8(clock.length, at + 61)
    table.writeUInt8(row.metadataKind ?? 0, at + 62)
    table.writeUInt8(tagCount, at + 63)
    records.push(record)
    end += record.length
  })
  const header = Buffer.alloc(24)
  header.writeUInt32LE(rows.length, 0)
  header.writeUInt32LE((withPreviousLinks ? 1 : 0) | (last ? 2 : 0), 4)
  header.writeUInt32LE(end, 8)
  header.writeDoubleLE(head, 16)
  const links = withPreviousLinks ? rows.map((row) => row.previousLink ?? new Uint8Array(32)) : []
  const bytes = Buffer.concat([header, ...records, table, ...links])
  const packed = new Uint8Array(bytes.length + 8)
  packed.set(bytes, 8)
  return packed.subarray(8)
}

export interface OutcomeFields {
  sequence: number
  status?: number
  count?: number
  position?: number
  lastPosition?: number
  version?: number
  lastVersion?: number
  versions?: number[]
  error?: object
}

export function packOutcomes(outcomes: readonly OutcomeFields[]): Uint8Array {
  return Buffer.concat(
    outcomes.map((outcome) => {
      const error = Buffer.from(JSON.stringify(outcome.error ?? {}), 'utf8')
      const versions = outcome.versions ?? []
      const status = outcome.error === undefined ? (outcome.status ?? 0) : 2
      const length = 16 + (status === 2 ? 4 + error.length : 40 + versions.length * 8)
      const bytes = Buffer.alloc(length)
      bytes.writeUInt32LE(length, 0)
      bytes.writeUInt32LE(outcome.sequence, 4)
      bytes.writeUInt8(status, 8)
      bytes.writeUInt32LE(outcome.count ?? 1, 12)
      if (status === 2) {
        bytes.writeUInt32LE(error.length, 16)
        error.copy(bytes, 20)
        return bytes
      }
      bytes.writeDoubleLE(outcome.position ?? 0, 16)
      bytes.writeDoubleLE(outcome.lastPosition ?? 0, 24)
      bytes.writeDoubleLE(outcome.version ?? 0, 32)
      bytes.writeDoubleLE(outcome.lastVersion ?? 0, 40)
      bytes.writeUInt32LE(versions.length, 48)
      for (const [i, version] of versions.entries()) bytes.writeDoubleLE(version, 56 + i * 8)
      return bytes
    }),
  )
}
