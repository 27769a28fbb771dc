// Strings that events share, each decoded once for as long as it is met often.

/** Slots of the cache; a power of two. */
const SLOTS = 1 << 14
/** Longer strings are decoded each time, so that the cache stays below a few MiB. */
const LONGEST = 128
const TWO_32 = 2 ** 32

/**
 * Strings by the numbers that the engine gives them. A number stands for one string as long as the
 * process lives, but a string may have many: its number says where it is defined. What falls into
 * the slot of another string takes its place.
 */
export class SymbolCache {
  // NaN equals no number.
  readonly #keys = new Float64Array(SLOTS).fill(Number.NaN)
  readonly #texts: string[] = new Array(SLOTS).fill('')

  get(key: number): string | undefined {
    const slot = slotOf(key)
    return this.#keys[slot] === key ? this.#texts[slot] : undefined
  }

  set(key: number, text: string): void {
    if (key === 0 || text.length > LONGEST) return
    const slot = slotOf(key)
    this.#keys[slot] = key
    this.#texts[slot] = text
  }
}

function slotOf(key: number): number {
  const high = (key / TWO_32) | 0
  return Math.imul((key | 0) ^ (high << 20), 0x9e37_79b1) >>> 18
}
