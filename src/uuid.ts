// Event ids: any UUID, in any case, as 16 bytes; and back in lower case.
import { invalidArgument } from './errors.js'
import { describe } from './packer.js'

/** The two digits of every byte. */
const DIGITS = Buffer.from(Array.from({ length: 256 }, (_, byte) => hexOf(byte)).join(''), 'latin1')
/** An id under construction: every place but the dashes is written each time. */
const scratch = Buffer.alloc(36, '-')
const DASHES = [8, 13, 18, 23]

function digit(unit: number): number {
  if (unit >= 48 && unit <= 57) return unit - 48
  const lower = unit | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

export function writeUuid(bytes: Uint8Array, at: number, value: unknown, argument: string): void {
  if (typeof value !== 'string' || !parse(bytes, at, value)) {
    throw invalidArgument(
      argument,
      `must be a UUID like '0190163d-8694-739b-aea5-966c26f8ad91', not ${describe(value)}`,
    )
  }
}

function parse(bytes: Uint8Array, at: number, value: string): boolean {
  if (value.length !== 36) return false
  for (const dash of DASHES) if (value.charCodeAt(dash) !== 45) return false
  let i = 0
  for (let byte = 0; byte < 16; byte++) {
    if (value.charCodeAt(i) === 45) i++
    const high = digit(value.charCodeAt(i))
    const low = digit(value.charCodeAt(i + 1))
    if (high < 0 || low < 0) return false
    bytes[at + byte] = (high << 4) | low
    i += 2
  }
  return true
}

function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

// Joining strings would cost three times as much, and again when the id is looked at.
export function readUuid(bytes: Uint8Array, at: number): string {
  let to = 0
  for (let i = 0; i < 16; i++) {
    const digits = (bytes[at + i] as number) * 2
    scratch[to] = DIGITS[digits] as number
    scratch[to + 1] = DIGITS[digits + 1] as number
    to += i === 3 || i === 5 || i === 7 || i === 9 ? 3 : 2
  }
  return scratch.toString('latin1')
}
