// Checking chains of events without their store: what was exported says all that its links cover.
import { linkOf } from './binding.js'
import { invalidArgument, wrapThrown } from './errors.js'
import { describe, isRecord, isUint8 } from './packer.js'
import { KIND_JSON, kindOf } from './payload.js'
import { turn } from './turn.js'
import type { BrokenLink, EventJson, LinkReport, RecordedEvent } from './types.js'
import { writeUuid } from './uuid.js'

type Exported = RecordedEvent | EventJson

const NO_BYTES = new Uint8Array(0)
const LINK_DIGITS = 64
const METADATA_NONE = 0
const METADATA_BYTES = 1
const METADATA_JSON = 2
/** Broken links that are listed; the rest is only counted. */
const LISTED_MAX = 1000

interface Last {
  readonly version: number
  readonly link: string
}

/**
 * Checks the chains of exported events: that each event is what its link says, and follows the one
 * before it. Needs no store: the events may come from anywhere, as `toJSON()` gave them or as they were
 * read, of one entity or of many, those of an entity in order of their versions.
 *
 * A chain that begins with a later version than 0 is checked from there on, resting on the first
 * `previousLink`. What links cannot tell is whether events were cut off at a chain's end: compare the
 * last link with one that was kept.
 *
 * @example
 * ```ts
 * import { Store, verifyLinks } from 'tetralog'
 *
 * const store = await Store.memory()
 * await store.append([{ entity: 'order:1', fact: 'placed' }, { entity: 'order:1', fact: 'paid' }])
 * const exported = JSON.stringify(await store.stream('order:1').toArray())
 * console.log((await verifyLinks(JSON.parse(exported))).ok) // true
 * await store.close()
 * ```
 * @throws {TetralogError} ERR_INVALID_ARGUMENT if something is no event.
 */
export async function verifyLinks(
  events: Iterable<Exported> | AsyncIterable<Exported>,
): Promise<LinkReport> {
  const last = new Map<string, Last>()
  const broken: BrokenLink[] = []
  let count = 0
  let bad = 0
  for await (const event of iterable(events)) {
    const argument = `events[${count}]`
    const reason = problem(checked(event, argument), last.get(event.entity), argument)
    last.set(event.entity, { version: event.version, link: hexOf(event.link) })
    count++
    if (reason !== undefined) {
      bad++
      if (broken.length < LISTED_MAX) {
        const { position, version, entity } = event
        broken.push(Object.freeze({ position, version, entity, reason }))
      }
    }
    if (turn.isOver()) await turn.next()
  }
  return { ok: bad === 0, events: count, entities: last.size, broken: Object.freeze(broken) }
}

function iterable(events: unknown): Iterable<Exported> | AsyncIterable<Exported> {
  const given = events as Partial<Iterable<Exported> & AsyncIterable<Exported>> | null | undefined
  if (typeof given === 'object' && given !== null) {
    if (typeof given[Symbol.asyncIterator] === 'function') return given as AsyncIterable<Exported>
    if (typeof given[Symbol.iterator] === 'function') return given as Iterable<Exported>
  }
  throw invalidArgument('events', `must be a list of events, not ${describe(events)}`)
}

function checked(event: Exported, argument: string): Exported {
  if (!isRecordOrView(event)) {
    throw invalidArgument(argument, `must be an event, not ${describe(event)}`)
  }
  for (const key of ['entity', 'fact', 'scope', 'contentType', 'id'] as const) {
    if (typeof event[key] !== 'string') {
      throw invalidArgument(`${argument}.${key}`, `must be a string, not ${describe(event[key])}`)
    }
  }
  if (!Number.isSafeInteger(event.version) || event.version < 0) {
    throw invalidArgument(
      `${argument}.version`,
      `must be a version, not ${describe(event.version)}`,
    )
  }
  for (const key of ['link', 'previousLink', 'clock'] as const) {
    if (!isUint8(event[key]) && !isHex(event[key])) {
      const what = describe(event[key])
      throw invalidArgument(`${argument}.${key}`, `must be bytes, or hexadecimal, not ${what}`)
    }
  }
  if (!Array.isArray(event.tags as unknown)) {
    throw invalidArgument(`${argument}.tags`, `must be a list, not ${describe(event.tags)}`)
  }
  for (const [nth, tag] of event.tags.entries()) {
    if (typeof tag === 'string') continue
    throw invalidArgument(`${argument}.tags[${nth}]`, `must be a string, not ${describe(tag)}`)
  }
  return event
}

function isHex(value: unknown): boolean {
  return typeof value === 'string' && value.length % 2 === 0 && /^[\da-f]*$/i.test(value)
}

function isRecordOrView(event: unknown): boolean {
  return isRecord(event) || (typeof event === 'object' && event !== null && 'link' in event)
}

/** What is wrong with an event's link, if anything is. */
function problem(event: Exported, before: Last | undefined, argument: string): string | undefined {
  const previous = hexOf(event.previousLink)
  if (previous.length !== LINK_DIGITS) return 'it has no previousLink of 32 bytes'
  if (before !== undefined && event.version !== before.version + 1) {
    return `version ${event.version} stands behind version ${before.version}`
  }
  if (before !== undefined && previous !== before.link) {
    return 'it is not linked to the event before it'
  }
  if (event.version === 0 && /[^0]/.test(previous)) return 'a first event is linked to another one'
  return candidates(event, argument).includes(hexOf(event.link))
    ? undefined
    : 'its link is not that of what it says'
}

/** The links that an event may have: JSON does not always tell bytes from a value that looks like them. */
function candidates(event: Exported, argument: string): string[] {
  const id = new Uint8Array(16)
  writeUuid(id, 0, event.id, `${argument}.id`)
  const previous = bytesOf(event.previousLink)
  const clock = bytesOf(event.clock)
  const recordedUs = microseconds(event, argument)
  const { version, entity, fact, scope, contentType } = event
  const list = [...event.tags]
  const links: string[] = []
  for (const [kind, metadata] of metadataOf(event.metadata, `${argument}.metadata`)) {
    for (const payload of payloadsOf(event, `${argument}.payload`)) {
      // biome-ignore format: one line reads better than thirteen
      const link = linkOf(previous, version, recordedUs, id, entity, fact, scope, contentType, clock, list, kind, metadata, payload)
      links.push(hexOf(link))
    }
  }
  return links
}

function metadataOf(metadata: unknown, argument: string): [kind: number, bytes: Uint8Array][] {
  if (metadata === undefined) return [[METADATA_NONE, NO_BYTES]]
  if (isUint8(metadata)) return [[METADATA_BYTES, metadata]]
  const raw = fromBase64(metadata)
  const json: [number, Uint8Array] = [METADATA_JSON, jsonOf(metadata, argument)]
  return raw === undefined ? [json] : [[METADATA_BYTES, raw], json]
}

function payloadsOf(event: Exported, argument: string): Uint8Array[] {
  if ('bytes' in event && typeof event.bytes === 'function') return [event.bytes()]
  const { payload, contentType } = event
  if (payload === undefined) return [NO_BYTES]
  const raw = fromBase64(payload)
  const json = kindOf(contentType) === KIND_JSON || typeof payload !== 'string'
  const text = json ? jsonOf(payload, argument) : Buffer.from(payload as string)
  return raw === undefined ? [text] : [raw, text]
}

function jsonOf(value: unknown, argument: string): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(value))
  } catch (error) {
    throw wrapThrown(argument, error)
  }
}

/** The bytes of `{ base64 }`, which stands for them in JSON. */
function fromBase64(value: unknown): Uint8Array | undefined {
  const text = (value as { base64?: unknown } | null)?.base64
  return typeof text === 'string' ? Buffer.from(text, 'base64') : undefined
}

function microseconds(event: Exported, argument: string): number {
  if ('recordedAtUs' in event) return event.recordedAtUs
  const { recordedAt } = event
  const parts = /^(.+\.\d{3})(\d{3})Z$/.exec(String(recordedAt))
  const ms = Date.parse(`${parts?.[1]}Z`)
  if (parts === null || Number.isNaN(ms)) {
    throw invalidArgument(
      `${argument}.recordedAt`,
      `must be a time with microseconds, not ${describe(recordedAt)}`,
    )
  }
  return ms * 1000 + Number(parts[2])
}

function hexOf(bytes: Uint8Array | string): string {
  if (typeof bytes === 'string') return bytes.toLowerCase()
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function bytesOf(bytes: Uint8Array | string): Uint8Array {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'hex') : bytes
}
