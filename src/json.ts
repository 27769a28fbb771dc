// JSON, written straight into the packed buffer in one pass: each property is read once, and what
// JSON.stringify would quietly turn into something else is refused with its path. The text is the
// one that JSON.stringify gives.
import {
  isAnyArrayBuffer,
  isBoxedPrimitive,
  isDataView,
  isDate,
  isMap,
  isNativeError,
  isPromise,
  isRegExp,
  isSet,
  isWeakMap,
  isWeakSet,
} from 'node:util/types'
import { invalidArgument, wrapThrown } from './errors.js'
import type { Packer } from './packer.js'

const MAX_DEPTH = 1000
// Longer strings are encoded by the runtime, and quoted by it if something in them needs an escape.
const SHORT_STRING = 48

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a

// All but these stand in JSON as they are: a quote, a backslash, and what is below a space.
const NEEDS_ESCAPE = /[^ !#-[\]-\uffff]/

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/

/** One per submission: its stacks are the path to the value being written. */
export class JsonWriter {
  readonly #packer: Packer
  readonly #objects: object[] = []
  readonly #keys: (string | number)[] = []
  #field = ''
  #index = 0

  constructor(packer: Packer) {
    this.#packer = packer
  }

  /** Writes a value that is not undefined; `events[index].field` is its name in messages. */
  write(value: unknown, field: string, index: number): void {
    this.#field = field
    this.#index = index
    try {
      if (this.#value(value, '', undefined)) return
    } catch (error) {
      this.#objects.length = 0
      this.#keys.length = 0
      throw wrapThrown(`events[${index}].${field}`, error)
    }
    throw this.#refuse('has a toJSON() that gives nothing')
  }

  /** False if the value is undefined and nothing was written. */
  #value(value: unknown, key: string | number, prefix: string | undefined): boolean {
    switch (typeof value) {
      case 'string':
        this.#lead(key, prefix)
        this.#string(value)
        return true
      case 'number':
        this.#lead(key, prefix)
        this.#number(value, key, prefix)
        return true
      case 'boolean':
        this.#lead(key, prefix)
        this.#ascii(value ? 'true' : 'false')
        return true
      case 'undefined':
        return false
      case 'object':
        if (value === null) {
          this.#lead(key, prefix)
          this.#ascii('null')
          return true
        }
        return this.#object(value, key, prefix)
      default:
        throw this.#refuseAt(key, prefix, `is a ${typeof value}, which JSON cannot hold`)
    }
  }

  /** The comma and the key before a member of an object; nothing elsewhere. */
  #lead(key: string | number, prefix: string | undefined): void {
    if (prefix === undefined) return
    if (prefix !== '') this.#packer.u8(COMMA)
    if (typeof key === 'string') {
      this.#string(key)
      this.#packer.u8(COLON)
    }
  }

  #object(value: object, key: string | number, prefix: string | undefined): boolean {
    let target = value
    let plain = isPlain(value)
    if (!plain) this.#checkKind(value, key, prefix)
    const { toJSON } = value as { toJSON?: unknown }
    if (typeof toJSON === 'function') {
      const result: unknown = toJSON.call(value, String(key))
      if (typeof result !== 'object' || result === null) return this.#value(result, key, prefix)
      target = result
      plain = isPlain(target)
      if (!plain) this.#checkKind(target, key, prefix)
    }
    if (!plain && isBoxedPrimitive(target)) return this.#value(target.valueOf(), key, prefix)
    const opaque = plain ? undefined : opaqueKind(target)
    if (opaque !== undefined) {
      throw this.#refuseAt(key, prefix, `is ${opaque}, which JSON cannot hold`)
    }
    this.#enter(target, key, prefix)
    if (Array.isArray(target)) this.#array(target)
    else this.#members(target)
    this.#objects.pop()
    this.#keys.pop()
    return true
  }

  #enter(value: object, key: string | number, prefix: string | undefined): void {
    this.#lead(key, prefix)
    if (this.#objects.includes(value)) throw this.#refuseAt(key, prefix, 'contains itself')
    if (this.#objects.length >= MAX_DEPTH) {
      throw this.#refuse(`is nested more than ${MAX_DEPTH} levels deep`)
    }
    this.#objects.push(value)
    this.#keys.push(key)
  }

  #array(value: readonly unknown[]): void {
    const packer = this.#packer
    packer.u8(0x5b)
    const length = value.length
    for (let i = 0; i < length; i++) {
      if (!this.#value(value[i], i, i === 0 ? '' : ',')) {
        throw this.#refuseAt(i, '', 'is undefined, which an array in JSON cannot hold (null can)')
      }
    }
    packer.u8(0x5d)
  }

  #members(value: object): void {
    const packer = this.#packer
    packer.u8(0x7b)
    let prefix = ''
    for (const key of Object.keys(value)) {
      if (this.#value((value as Record<string, unknown>)[key], key, prefix)) prefix = ','
    }
    packer.u8(0x7d)
  }

  #number(value: number, key: string | number, prefix: string | undefined): void {
    if (!Number.isFinite(value)) {
      throw this.#refuseAt(key, prefix, `is ${value}, which JSON cannot hold`)
    }
    if (value < 1e6 && value >= 0 && Number.isInteger(value)) this.#digits(value)
    else this.#ascii(String(value))
  }

  /** A small integer, without making a string of it. */
  #digits(value: number): void {
    const packer = this.#packer
    let count = 1
    for (let rest = value; rest >= 10; rest = (rest / 10) | 0) count++
    packer.reserve(count)
    const { bytes } = packer
    let rest = value
    for (let at = packer.at + count - 1; at >= packer.at; at--) {
      const tenth = (rest / 10) | 0
      bytes[at] = 0x30 + rest - tenth * 10
      rest = tenth
    }
    packer.at += count
  }

  /** A few characters that need no escape. */
  #ascii(value: string): void {
    const packer = this.#packer
    packer.reserve(value.length)
    const { bytes, at } = packer
    for (let i = 0; i < value.length; i++) bytes[at + i] = value.charCodeAt(i)
    packer.at = at + value.length
  }

  #string(value: string): void {
    const packer = this.#packer
    const length = value.length
    if (length <= SHORT_STRING) {
      packer.reserve(SHORT_STRING + 2)
      const bytes = packer.bytes
      let at = packer.at
      bytes[at++] = QUOTE
      let i = 0
      for (; i < length; i++) {
        const unit = value.charCodeAt(i)
        if (unit > 0x7f || unit < 0x20 || unit === QUOTE || unit === BACKSLASH) break
        bytes[at + i] = unit
      }
      if (i === length) {
        bytes[at + length] = QUOTE
        packer.at = at + length + 1
        return
      }
    }
    if (NEEDS_ESCAPE.test(value) || !value.isWellFormed()) packer.utf8(JSON.stringify(value))
    else {
      packer.u8(QUOTE)
      packer.utf8(value)
      packer.u8(QUOTE)
    }
  }

  /** Objects that JSON.stringify would turn into `{}` or worse. */
  #checkKind(value: object, key: string | number, prefix: string | undefined): void {
    const kind = refusedKind(value)
    if (kind !== undefined) {
      throw this.#refuseAt(key, prefix, `is ${kind}, which JSON cannot hold`)
    }
    if (isDate(value) && Number.isNaN(value.getTime())) {
      throw this.#refuseAt(key, prefix, 'is an invalid Date')
    }
  }

  #refuseAt(key: string | number, prefix: string | undefined, problem: string): Error {
    if (prefix !== undefined) this.#keys.push(key)
    return this.#refuse(problem, prefix !== undefined ? this.#keys.length : 0)
  }

  #refuse(problem: string, depth = 0): Error {
    let path = `events[${this.#index}].${this.#field}`
    // The first key is that of the value itself, which the field already names.
    for (const key of this.#keys.slice(1, Math.max(depth, 1))) {
      if (typeof key === 'number') path += `[${key}]`
      else path += IDENTIFIER.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
    }
    return invalidArgument(path, problem)
  }
}

/** Objects and arrays of which nothing but their properties counts. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null
}

/** A word for an object that JSON cannot hold. */
function refusedKind(value: object): string | undefined {
  if (ArrayBuffer.isView(value)) return isDataView(value) ? 'a DataView' : 'a typed array'
  if (isAnyArrayBuffer(value)) return 'an ArrayBuffer'
  if (isMap(value)) return 'a Map (Object.fromEntries() makes an object of it)'
  if (isSet(value)) return 'a Set ([...set] makes an array of it)'
  if (isWeakMap(value)) return 'a WeakMap'
  if (isWeakSet(value)) return 'a WeakSet'
  if (value instanceof WeakRef) return 'a WeakRef'
  if (isPromise(value) || typeof (value as { then?: unknown }).then === 'function') {
    return 'a promise (await it first)'
  }
  return undefined
}

/** A word for an object without a toJSON() whose properties do not say what it is. */
function opaqueKind(value: object): string | undefined {
  if (isNativeError(value)) return 'an Error (take its message, for example)'
  if (isRegExp(value)) return 'a RegExp (take its source)'
  if (Array.isArray(value) || Object.keys(value).length > 0) return undefined
  const kind = Object.prototype.toString.call(value).slice(8, -1)
  return kind === 'Object' ? undefined : `a ${kind} without properties`
}
