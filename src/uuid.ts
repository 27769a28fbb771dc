// Event ids: any UUID, in any case, as 16 bytes; and back in lower case.
import { invalidArgument } from './errors.js'
import { describe } from './packer.js'

/** The digits of every two bytes; made when the first id is read, for they take a few MiB. */
let hexPairs: string[] | undefined
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

export function readUuid(bytes: Uint8Array, at: number): string {
  hexPairs ??= Array.from({ length: 65_536 }, (_, pair) => pair.toString(16).padStart(4, '0'))
  const pairs = hexPairs
  const hex = (nth: number): string => {
    const high = bytes[at + nth * 2] as number
    return pairs[(high << 8) | (bytes[at + nth * 2 + 1] as number)] as string
  }
  return `${hex(0) + hex(1)}-${hex(2)}-${hex(3)}-${hex(4)}-${hex(5) + hex(6) + hex(7)}`
}
