// An append that takes longer to pack than the event loop may be held. It is handed over in parts, a turn of
// the loop for each, and the engine sees it when the last part is there.
import type { NativeStore } from './binding.js'
import { invalidArgument } from './errors.js'
import type { Pace, Remainder, Submission } from './submission.js'

// Copied in one turn; into fresh memory that takes a third of a millisecond.
const COPIED_BYTES = 1024 * 1024
// Room for events that are longer than the first ones: moving the parts to a larger place takes long.
const RESERVE = 1.125

export type Staging = Pick<NativeStore, 'submit' | 'stage' | 'submitStaged' | 'unstage'>

export class LargeAppend {
  /** Nobody else's until it is handed over. */
  readonly submission: Submission
  // Bytes of other appends, which go before it.
  #before: number
  #remainder: Remainder | undefined
  #copied = 0
  #isPacked = false

  /** Of a submission in which it has paused, behind so many bytes of others. */
  constructor(submission: Submission, before: number) {
    this.submission = submission
    this.#before = before
  }

  /** Hands over what the appends before it have left. */
  precede(native: Staging): void {
    const { packer } = this.submission
    if (this.#before > 0) native.submit(packer.bytes.subarray(0, this.#before), false)
  }

  /** Then stages what was packed of it before it paused. */
  begin(native: Staging): void {
    const { packer } = this.submission
    const expected = this.submission.expectedBytes * RESERVE
    native.stage(packer.bytes.subarray(this.#before, packer.at), expected)
    this.#before = 0
    this.#staged()
  }

  /** Goes on until it is handed over, or its turn is over. Whether it is handed over. `more` says that others follow. */
  proceed(native: Staging, more: boolean, pace: Pace | undefined): boolean {
    do {
      if (this.#remainder !== undefined) this.#copySome(native, this.#remainder)
      else if (this.#isPacked) {
        native.submitStaged(more)
        return true
      } else this.#packSome(native, pace)
    } while (pace === undefined || !pace.isOver())
    return false
  }

  #packSome(native: Staging, pace: Pace | undefined): void {
    const { packer } = this.submission
    this.#isPacked = this.submission.resume(pace)
    native.stage(packer.written(), 0)
    this.#staged()
  }

  #staged(): void {
    this.submission.packer.reset()
    this.#remainder = this.submission.takeRemainder()
    this.#copied = 0
  }

  #copySome(native: Staging, { bytes, length, argument }: Remainder): void {
    if (bytes.length !== length) {
      throw invalidArgument(argument, 'was changed before its append had settled')
    }
    const end = Math.min(this.#copied + COPIED_BYTES, length)
    native.stage(bytes.subarray(this.#copied, end), 0)
    this.#copied = end
    if (end === length) this.#remainder = undefined
  }
}
