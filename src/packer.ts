// A growing packed buffer, little-endian. Writers keep the position at which they began, and take
// the packer back to it when they fail: nothing half-written is ever handed over.
import { isUint8Array } from 'node:util/types'
import { invalidArgument, limitExceeded } from './errors.js'

const INITIAL_BYTES = 64 * 1024
// Appends of up to 8 MiB find their room ready: fresh memory costs more than the copy into it.
const KEPT_BYTES = 9 * 1024 * 1024
// Far above what the engine takes in one append; it only keeps a mistake from eating all memory.
const MAX_BYTES = 1024 * 1024 * 1024
const FRAME_LIMIT_BYTES = 64 * 1024 * 1024

// Up to this length a loop in JavaScript is faster than a call into the runtime.
const SHORT_STRING = 32
// Up to this length, room for the longest possible encoding costs nothing worth counting.
const SIZED_STRING = 1024 * 1024

export class Packer {
  bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES)
  view: DataView = new DataView(this.bytes.buffer)
  /** Where the next byte goes. */
  at = 0

  /** Makes room for so many more bytes. */
  reserve(count: number): void {
    if (this.at + count > this.bytes.length) this.#grow(this.at + count)
  }

  #grow(needed: number): void {
    if (needed > MAX_BYTES) throw limitExceeded('events', 'bytes', FRAME_LIMIT_BYTES, needed)
    const bytes = Buffer.allocUnsafeSlow(Math.min(MAX_BYTES, Math.max(needed, this.at * 2)))
    bytes.set(this.bytes.subarray(0, this.at))
    this.bytes = bytes
    this.view = new DataView(bytes.buffer)
  }

  /** Everything written so far; valid until the packer is used again. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.at)
  }

  /** Starts over, and gives an unusually large buffer back. */
  reset(): void {
    this.at = 0
    if (this.bytes.length > KEPT_BYTES) {
      this.bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES)
      this.view = new DataView(this.bytes.buffer)
    }
  }

  /** Gives the buffer back; another one is made when it is needed. */
  release(): void {
    this.at = 0
    this.bytes = Buffer.allocUnsafeSlow(0)
    this.view = new DataView(this.bytes.buffer)
  }

  /** A header of a multiple of 4 bytes, for which there is room; faster than fill() at this size. */
  zeros(at: number, count: number): void {
    const { view } = this
    for (const end = at + count; at < end; at += 4) view.setUint32(at, 0)
  }

  u8(value: number): void {
    this.reserve(1)
    this.bytes[this.at++] = value
  }

  u32(value: number): void {
    this.reserve(4)
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  f64(value: number): void {
    this.reserve(8)
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  /** Bytes without their length; also of shared memory, which is copied here and now. */
  raw(value: Uint8Array): void {
    // Asked once: shared memory may grow meanwhile.
    const { length } = value
    this.reserve(length)
    try {
      this.bytes.set(value, this.at)
    } catch {
      // It has grown beyond what there is room for.
      this.bytes.set(value.subarray(0, length), this.at)
    }
    this.at += length
  }

  /** Bytes behind their length. */
  lengthAndBytes(value: Uint8Array): void {
    this.u32(0)
    const start = this.at
    this.raw(value)
    this.view.setUint32(start - 4, this.at - start, true)
  }

  /** A string behind its length in bytes. */
  lengthAndText(value: string, argument: string): void {
    this.u32(0)
    const start = this.at
    if (!this.text(value)) throw notUnicode(argument)
    this.view.setUint32(start - 4, this.at - start, true)
  }

  /** A string as UTF-8, without its length; false if it is not valid Unicode. */
  text(value: string): boolean {
    const length = value.length
    if (length <= SHORT_STRING) {
      this.reserve(SHORT_STRING)
      const bytes = this.bytes
      const start = this.at
      let i = 0
      for (; i < length; i++) {
        const unit = value.charCodeAt(i)
        if (unit > 0x7f) break
        bytes[start + i] = unit
      }
      if (i === length) {
        this.at = start + length
        return true
      }
    }
    if (!value.isWellFormed()) return false
    this.utf8(value)
    return true
  }

  /** A string known to be well formed. */
  utf8(value: string): void {
    this.reserve(value.length <= SIZED_STRING ? value.length * 3 : Buffer.byteLength(value, 'utf8'))
    this.at += this.bytes.write(value, this.at, 'utf8')
  }
}

export function notUnicode(argument: string): Error {
  return invalidArgument(
    argument,
    'is not valid Unicode: it has half of a surrogate pair (String.prototype.toWellFormed() replaces it)',
  )
}

/** A string that can be stored. */
export function wellFormed(value: unknown, argument: string): string {
  if (typeof value !== 'string') {
    throw invalidArgument(argument, `must be a string, not ${describe(value)}`)
  }
  if (!value.isWellFormed()) throw notUnicode(argument)
  return value
}

/** Also of another realm. */
export function isUint8(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && isUint8Array(value)
}

/** Bytes that went away with their buffer must not be taken for an empty value. */
export function refuseDetached(value: Uint8Array, argument: string): void {
  if (value.length === 0 && isDetached(value)) {
    throw invalidArgument(
      argument,
      'has lost its bytes: its buffer was transferred to somebody else, or has shrunk',
    )
  }
}

/** Bytes that can be read. */
export function isBytes(value: unknown, argument: string): value is Uint8Array {
  if (!isUint8(value)) return false
  refuseDetached(value, argument)
  return true
}

function isDetached(value: Uint8Array): boolean {
  try {
    // Refused of a view that lies outside of its buffer.
    Uint8Array.prototype.values.call(value)
    return false
  } catch {
    return true
  }
}

/**
 * An object that is nothing but its properties. A Date, a Map or a promise that was not awaited has
 * none of the keys looked for, and would pass for an empty one.
 */
export function isRecord(value: unknown): value is object {
  return Object.prototype.toString.call(value) === '[object Object]'
}

/** What a value is, in a few words, for messages. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  switch (typeof value) {
    case 'undefined':
      return 'undefined'
    case 'string':
      return value.length <= 40 ? `'${value}'` : 'a long string'
    case 'number':
    case 'boolean':
      return String(value)
    case 'bigint':
      return 'a bigint'
    case 'function':
      return 'a function'
    case 'symbol':
      return 'a symbol'
    default:
      return isArray(value) ? 'an array' : 'an object'
  }
}

/** Also of a proxy that was revoked, which is nothing. */
function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}
