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

  /** Events of the append, if it was not refused. */
  get count(): number {
    return this.#view.getUint32(this.#at + 12, true)
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
    // A getter of each object's own costs ten times as much as a map of one entity.
    if (typeof entities === 'string') return this.#receiptOfOne(entities)
    const view = this.#view
    const at = this.#at
    let versions: ReadonlyMap<string, number> | undefined
    return {
      position: view.getFloat64(at + HEADER, true),
      lastPosition: view.getFloat64(at + HEADER + 8, true),
      version: view.getFloat64(at + HEADER + 16, true),
      lastVersion: view.getFloat64(at + HEADER + 24, true),
      count: this.count,
      duplicate: view.getUint8(at + 8) === STATUS_DUPLICATE,
      // Few ask for it, and a map of many entities costs more than all the rest.
      get versions(): ReadonlyMap<string, number> {
        versions ??= versionsOf(view, at, entities)
        return versions
      },
    }
  }

  #receiptOfOne(entity: string): Receipt {
    const view = this.#view
    const at = this.#at
    const { count } = this
    const lastVersion = view.getFloat64(at + HEADER + 24, true)
    const versions = new Map<string, number>()
    if (count > 0) versions.set(entity, lastVersion)
    return {
      position: view.getFloat64(at + HEADER, true),
      lastPosition: view.getFloat64(at + HEADER + 8, true),
      version: view.getFloat64(at + HEADER + 16, true),
      lastVersion,
      count,
      duplicate: view.getUint8(at + 8) === STATUS_DUPLICATE,
      versions,
    }
  }
}

function versionsOf(
  view: DataView,
  at: number,
  entities: readonly string[],
): ReadonlyMap<string, number> {
  const versions = new Map<string, number>()
  for (const [index, entity] of entities.entries()) {
    versions.set(entity, view.getFloat64(at + HEADER + 40 + index * 8, true))
  }
  return versions
}
