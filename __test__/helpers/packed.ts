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
  /** The engine's number of the n-th string; 0 if it has none. */
  keyOf?: (nth: number) => number
}

/** A batch as the engine packs it; placed off the start of its buffer, as a view may be. */
export function packBatch(rows: readonly BatchRow[], fields: BatchFields = {}): Uint8Array {
  const { withPreviousLinks = false, last = false, head: newest = 41, keyOf = () => 0 } = fields
  const symbols: string[] = []
  const symbol = (text: string): number => {
    if (!symbols.includes(text)) symbols.push(text)
    return symbols.indexOf(text)
  }
  for (const row of rows) {
    for (const text of [
      row.entity ?? 'e',
      row.fact ?? 'f',
      row.scope ?? '',
      row.contentType ?? '',
      ...(row.tags ?? []),
    ]) {
      symbol(text)
    }
  }
  const data: Buffer[] = []
  const symbolsAt = 32 + rows.length * 64
  let end = symbolsAt + symbols.length * 16
  const place = (bytes: Uint8Array): number => {
    data.push(Buffer.from(bytes))
    end += bytes.length
    return end - bytes.length
  }
  const head = Buffer.alloc(end)
  head.writeUInt32LE(rows.length, 0)
  head.writeUInt32LE(symbols.length, 4)
  head.writeUInt32LE((withPreviousLinks ? 1 : 0) | (last ? 2 : 0), 8)
  head.writeUInt32LE(32, 12)
  head.writeUInt32LE(symbolsAt, 16)
  head.writeDoubleLE(newest, 24)
  rows.forEach((row, i) => {
    const at = 32 + i * 64
    const tags = row.tags ?? []
    const numbers = Buffer.alloc(tags.length * 4)
    for (const [j, tag] of tags.entries()) numbers.writeUInt32LE(symbol(tag), j * 4)
    const clock = row.clock ?? new Uint8Array(8)
    const fixed = Buffer.concat([
      numbers,
      row.link ?? new Uint8Array(32),
      withPreviousLinks ? (row.previousLink ?? new Uint8Array(32)) : new Uint8Array(0),
      Buffer.from((row.id ?? '00000000-0000-0000-0000-000000000000').replaceAll('-', ''), 'hex'),
      clock,
    ])
    head.writeDoubleLE(row.position ?? i, at)
    head.writeDoubleLE(row.version ?? 0, at + 8)
    head.writeDoubleLE(row.recordedAtUs ?? 0, at + 16)
    head.writeUInt32LE(symbol(row.entity ?? 'e'), at + 24)
    head.writeUInt32LE(symbol(row.fact ?? 'f'), at + 28)
    head.writeUInt32LE(symbol(row.scope ?? ''), at + 32)
    head.writeUInt32LE(symbol(row.contentType ?? ''), at + 36)
    head.writeUInt32LE(place(fixed), at + 40)
    head.writeUInt32LE(place(row.payload ?? new Uint8Array(0)), at + 44)
    head.writeUInt32LE(row.payload?.length ?? 0, at + 48)
    head.writeUInt32LE(place(row.metadata ?? new Uint8Array(0)), at + 52)
    head.writeUInt32LE(row.metadata?.length ?? 0, at + 56)
    head.writeUInt8(clock.length, at + 60)
    head.writeUInt8(row.metadataKind ?? 0, at + 61)
    head.writeUInt8(tags.length, at + 62)
  })
  symbols.forEach((text, i) => {
    const bytes = Buffer.from(text, 'utf8')
    head.writeDoubleLE(keyOf(i), symbolsAt + i * 16)
    head.writeUInt32LE(place(bytes), symbolsAt + i * 16 + 8)
    head.writeUInt32LE(bytes.length, symbolsAt + i * 16 + 12)
  })
  const packed = new Uint8Array(end + 8)
  packed.set(Buffer.concat([head, ...data]), 8)
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
