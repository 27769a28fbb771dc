// Outcomes of appends, as the engine packs them.
import { fromNativeText } from './errors.js'
import type { Receipt } from './types.js'

const HEADER = 16
const STATUS_DUPLICATE = 1
const STATUS_ERROR = 2

/** Walks over packed outcomes; `at` is where the current one begins. */
export class Outcomes {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  next(): void {
    this.#at += this.#view.getUint32(this.#at, true)
  }

  get sequence(): number {
    return this.#view.getUint32(this.#at + 4, true)
  }

  get failed(): boolean {
    return this.#view.getUint8(this.#at + 8) === STATUS_ERROR
  }

  error(): Error {
    const at = this.#at + HEADER
    const end = at + 4 + this.#view.getUint32(at, true)
    return fromNativeText(Buffer.from(this.#bytes.subarray(at + 4, end)).toString('utf8'))
  }

  receipt(entities: string | readonly string[]): Receipt {
    const view = this.#view
    const at = this.#at
    const lastVersion = view.getFloat64(at + HEADER + 24, true)
    const count = view.getUint32(at + 12, true)
    return {
      position: view.getFloat64(at + HEADER, true),
      lastPosition: view.getFloat64(at + HEADER + 8, true),
      version: view.getFloat64(at + HEADER + 16, true),
      lastVersion,
      count,
      duplicate: view.getUint8(at + 8) === STATUS_DUPLICATE,
      versions: this.#versions(entities, count, lastVersion),
    }
  }

  #versions(
    entities: string | readonly string[],
    count: number,
    lastVersion: number,
  ): ReadonlyMap<string, number> {
    const versions = new Map<string, number>()
    if (typeof entities === 'string') {
      if (count > 0) versions.set(entities, lastVersion)
      return versions
    }
    let at = this.#at + HEADER + 40
    for (const entity of entities) {
      versions.set(entity, this.#view.getFloat64(at, true))
      at += 8
    }
    return versions
  }
}
