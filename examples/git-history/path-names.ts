// File names are bytes to git, in any encoding; the names of entities and scopes are Unicode, at
// most 1024 bytes, and do not end in `*`. The mapping here is one-to-one, and a name that is
// already fine stays as it is:
//
// - a byte that is not part of valid UTF-8 becomes %XX (two hexadecimal digits);
// - `%` becomes %25, and a `*` at the end of any part of the path becomes %2A;
// - a name longer than the limit is cut, and ends in `%#` and the SHA-256 of the whole name.
//   Only this cannot be turned back, which is why the event's payload then has the whole path.
//
// Parts of a path are mapped one by one, so what is below a directory stays below it.
// Here a raw path is a "byte string": one character, U+0000 to U+00FF, for each byte.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'

const longestName = 1024
const hashMark = '%#'
const plainText = /^[\x20-\x7e]*$/

/** The path as valid Unicode, however long it is. */
export function escapePath(rawPath: string): string {
  const text = plainText.test(rawPath) ? rawPath.replaceAll('%', '%25') : escapeBytes(rawPath)
  return text.includes('*') ? text.replace(/\*(?=\/|$)/g, '%2A') : text
}

/** The raw path that `escapePath` was given. */
export function unescapePath(text: string): string {
  const parts = text.split(/(%[0-9A-F]{2})/)
  return parts.map((part, index) => (index % 2 === 1 ? unescapeByte(part) : utf8(part))).join('')
}

/** The file's entity. */
export function entityOf(rawPath: string): string {
  return shorten(escapePath(rawPath))
}

/** The scope of a file: the path of its directory, empty at the top. */
export function scopeOf(rawPath: string): string {
  const end = rawPath.lastIndexOf('/')
  return end === -1 ? '' : shorten(escapePath(rawPath.slice(0, end)))
}

function escapeBytes(rawPath: string): string {
  const bytes = Buffer.from(rawPath, 'latin1')
  if (isUtf8(bytes)) return bytes.toString('utf8').replaceAll('%', '%25')
  let text = ''
  for (let start = 0; start < bytes.length; ) {
    const length = lengthOfCharacter(bytes, start)
    const character = bytes.subarray(start, start + length)
    const keep = isUtf8(character) && character[0] !== 0x25
    text += keep ? character.toString('utf8') : percent(character[0] ?? 0)
    start += keep ? length : 1
  }
  return text
}

function percent(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

/** How many bytes the character that starts here would have if it is valid UTF-8. */
function lengthOfCharacter(bytes: Buffer, start: number): number {
  const first = bytes[start] ?? 0
  if (first < 0xc0) return 1
  if (first < 0xe0) return 2
  return first < 0xf0 ? 3 : 4
}

function unescapeByte(escaped: string): string {
  return String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
}

function utf8(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function shorten(text: string): string {
  if (text.length * 3 <= longestName || Buffer.byteLength(text) <= longestName) return text
  const hash = createHash('sha256').update(text).digest('hex')
  const room = longestName - hashMark.length - hash.length
  const kept = Buffer.from(text).subarray(0, room)
  return `${dropPartOfCharacter(kept).replace(/%[0-9A-F]?$/, '')}${hashMark}${hash}`
}

function dropPartOfCharacter(bytes: Buffer): string {
  let end = bytes.length
  while (!isUtf8(bytes.subarray(0, end))) end -= 1
  return bytes.subarray(0, end).toString('utf8')
}
