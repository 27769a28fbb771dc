// Strings that events share, each decoded once for as long as it is met often.

/** Sets of the cache; a power of two. */
const SETS = 1 << 15
/** Longer strings are looked up each time, so that the cache stays below 16 MiB. */
const LONGEST = 128

/** The strings that events refer to, by the engine's number of a segment and a place in it. */
export interface Texts {
  get(serial: number, reference: number): string | undefined
  /** Looks up what `get` does not have, for the event at a position. */
  find(serial: number, reference: number, position: number): string
}

/**
 * Strings that were looked up. A number and a place stand for one string as long as the process lives,
 * but a string may have many. Two of them share a set; a third takes the place of the older one.
 */
export class TextCache implements Texts {
  readonly #lookUp: (position: number, reference: number) => string
  // Reference and serial of one place behind those of the other, so that a look-up touches one line of
  // memory. No definition stands at 0.
  readonly #keys = new Uint32Array(SETS * 4)
  readonly #texts: string[] = new Array(SETS * 2).fill('')

  constructor(lookUp: (position: number, reference: number) => string) {
    this.#lookUp = lookUp
  }

  get(serial: number, reference: number): string | undefined {
    const set = setOf(serial, reference)
    const keys = this.#keys
    const key = set * 4
    if (keys[key] === reference && keys[key + 1] === serial) return this.#texts[set * 2]
    return keys[key + 2] === reference && keys[key + 3] === serial
      ? this.#texts[set * 2 + 1]
      : undefined
  }

  find(serial: number, reference: number, position: number): string {
    const text = this.#lookUp(position, reference)
    if (text.length > LONGEST) return text
    const set = setOf(serial, reference)
    const key = set * 4
    this.#keys.copyWithin(key + 2, key, key + 2)
    this.#keys[key] = reference
    this.#keys[key + 1] = serial
    this.#texts[set * 2 + 1] = this.#texts[set * 2] as string
    this.#texts[set * 2] = text
    return text
  }
}

function setOf(serial: number, reference: number): number {
  return Math.imul(reference ^ (serial << 20), 0x9e37_79b1) >>> 17
}
