// Payloads: which content type a value has, and what the stored bytes are read back as.
import { isUtf8 } from 'node:buffer'
import { invalidArgument, payloadDecode } from './errors.js'
import { describe } from './packer.js'

const JSON_TYPE = 'application/json'
const BYTES_TYPE = 'application/octet-stream'

export const KIND_NONE = 0
export const KIND_JSON = 1
export const KIND_TEXT = 2
export const KIND_BYTES = 3

/** How payloads of a content type are stored and read; its parameters do not matter. */
export function kindOf(contentType: string): number {
  if (contentType === '') return KIND_NONE
  if (contentType === JSON_TYPE) return KIND_JSON
  if (contentType === BYTES_TYPE) return KIND_BYTES
  const semicolon = contentType.indexOf(';')
  const type = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
  if (type === JSON_TYPE || type.endsWith('+json')) return KIND_JSON
  return type.startsWith('text/') ? KIND_TEXT : KIND_BYTES
}

/** Refuses a payload that does not go with the content type given for it. */
export function checkPayloadKind(
  payload: unknown,
  bytes: boolean,
  contentType: string,
  kind: number,
  event: string,
): void {
  if (payload === undefined) {
    if (kind === KIND_NONE) return
    throw invalidArgument(
      `${event}.contentType`,
      `is '${contentType}', but there is no payload: leave it out`,
    )
  }
  if (kind === KIND_NONE) {
    throw invalidArgument(`${event}.contentType`, "is '', which only goes without a payload")
  }
  if (bytes || kind === KIND_JSON || (kind === KIND_TEXT && typeof payload === 'string')) return
  const wanted = kind === KIND_TEXT ? 'a string or a Uint8Array' : 'a Uint8Array'
  throw invalidArgument(
    `${event}.payload`,
    `must be ${wanted} for the content type '${contentType}', not ${describe(payload)}`,
  )
}

/** Names the event in errors of decoding. */
export interface Stored {
  readonly position: number
  readonly contentType: string
}

export function decodeText(bytes: Buffer, start: number, end: number, stored: Stored): string {
  const text = bytes.toString('utf8', start, end)
  // Bytes that are not UTF-8 decode to U+FFFD, so only text that has one needs the second look.
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) {
    throw payloadDecode(stored.position, stored.contentType, 'is not valid UTF-8')
  }
  return text
}

export function decodeJson(bytes: Buffer, start: number, end: number, stored: Stored): unknown {
  const text = decodeText(bytes, start, end, stored)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw payloadDecode(stored.position, stored.contentType, 'is not valid JSON', error)
  }
}
