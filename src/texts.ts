// Strings that events share, each decoded once for as long as it is met often.

/** Sets of the cache; a power of two. */
const SETS = 1 << 15
/** Longer strings are looked up each time, so that the cache stays below a few MiB. */
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
  // No definition stands at 0.
  readonly #references = new Uint32Array(SETS * 2)
  readonly #serials = new Uint32Array(SETS * 2)
  readonly #texts: string[] = new Array(SETS * 2).fill('')

  constructor(lookUp: (position: number, reference: number) => string) {
    this.#lookUp = lookUp
  }

  get(serial: number, reference: number): string | undefined {
    const first = placeOf(serial, reference)
    if (this.#references[first] === reference && this.#serials[first] === serial) {
      return this.#texts[first]
    }
    const second = first + 1
    return this.#references[second] === reference && this.#serials[second] === serial
      ? this.#texts[second]
      : undefined
  }

  find(serial: number, reference: number, position: number): string {
    const text = this.#lookUp(position, reference)
    if (text.length > LONGEST) return text
    const first = placeOf(serial, reference)
    this.#put(first + 1, this.#serials[first], this.#references[first], this.#texts[first])
    this.#put(first, serial, reference, text)
    return text
  }

  #put(at: number, serial = 0, reference = 0, text = ''): void {
    this.#serials[at] = serial
    this.#references[at] = reference
    this.#texts[at] = text
  }
}

/** The first of a set's two places. */
function placeOf(serial: number, reference: number): number {
  return (Math.imul(reference ^ (serial << 20), 0x9e37_79b1) >>> 17) << 1
}
