// Appends on their way: what one tick appends goes over together, in few native calls, and outcomes
// come back packed, in the order of the appends.
import type { NativeStore } from './binding.js'
import { fromNative } from './errors.js'
import { Outcomes } from './receipt.js'
import { Submission, type Written } from './submission.js'
import type { Receipt } from './types.js'
import { Wakeful } from './wakeful.js'

// So much is handed over before the tick has ended: the writer works on it while the rest is packed.
const PART_BYTES = 6 * 1024
const DEFAULT_MAX_PAYLOAD_BYTES = 16 * 1024 * 1024

type Resolve = (receipt: Receipt) => void
type Reject = (error: unknown) => void

/** What is needed to settle an append's promise. */
class Pending implements Written {
  readonly sequence: number
  entities: string | string[] = ''
  resolve: Resolve | undefined
  reject: Reject | undefined

  constructor(sequence: number) {
    this.sequence = sequence
  }
}

// One executor for every promise: a closure per append would cost more than packing the event.
let capturedResolve: Resolve | undefined
let capturedReject: Reject | undefined
function capture(resolve: Resolve, reject: Reject): void {
  capturedResolve = resolve
  capturedReject = reject
}

type Native = Pick<NativeStore, 'submit' | 'appendSync' | 'ref' | 'unref'>

export class AppendQueue {
  readonly #submission: Submission
  #native: Native | undefined
  #sequence = 0
  // Settled from the front; the gap before #first is closed when it is worth it.
  #pending: Pending[] = []
  #first = 0
  #unsent = 0
  #scheduled = false
  // The engine was told that more follows, or has handed outcomes over: it waits for a last submission.
  #isAwaited = false
  #onDrained: (() => void) | undefined
  readonly #wakeful = new Wakeful(() => this.#pending.length > this.#first)

  readonly #flushTick = (): void => {
    this.#scheduled = false
    this.flush()
  }

  readonly #schedule = (): void => {
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flushTick)
  }

  /** Given to the native store when it opens. */
  readonly onOutcomes = (bytes: Uint8Array): void => {
    const outcomes = new Outcomes(bytes)
    for (; !outcomes.atEnd; outcomes.next()) this.#settle(outcomes)
    this.#isAwaited = true
    // Behind those who are called back now, who may append again.
    queueMicrotask(this.#schedule)
  }

  constructor(maxPayloadBytes: number) {
    this.#submission = new Submission(
      Number.isNaN(maxPayloadBytes) ? DEFAULT_MAX_PAYLOAD_BYTES : maxPayloadBytes,
    )
  }

  attach(native: Native): void {
    this.#native = native
  }

  /**
   * After the native store has closed. It may hold on to `onOutcomes`, and a queue that held on to
   * it in turn would keep both of them for ever.
   */
  detach(): void {
    this.#native = undefined
    this.#submission.packer.release()
  }

  append(events: unknown, options: unknown): Promise<Receipt> {
    const pending = this.#encode(events, options)
    const promise = new Promise<Receipt>(capture)
    pending.resolve = capturedResolve
    pending.reject = capturedReject
    if (this.#pending.length === this.#first) this.#native?.ref()
    this.#pending.push(pending)
    if (this.#submission.packer.at >= PART_BYTES) this.#submit(true)
    this.#schedule()
    return promise
  }

  /** Blocks until the append is durable; what was appended before it goes before it. */
  appendSync(events: unknown, options: unknown): Receipt {
    this.flush()
    const pending = this.#encode(events, options)
    const { packer } = this.#submission
    let bytes: Uint8Array
    try {
      bytes = (this.#native as Native).appendSync(packer.written())
    } catch (error) {
      throw fromNative(error)
    } finally {
      packer.reset()
    }
    const outcomes = new Outcomes(bytes)
    if (outcomes.failed) throw outcomes.error()
    return outcomes.receipt(pending.entities)
  }

  /** Hands over what has been encoded. */
  flush(): void {
    if (this.#submission.packer.at > 0 || this.#isAwaited) this.#submit(false)
  }

  #submit(more: boolean): void {
    const { packer, busy } = this.#submission
    if (busy) return
    this.#isAwaited = more
    try {
      this.#native?.submit(packer.written(), more)
    } catch (error) {
      this.#rejectUnsent(fromNative(error))
    } finally {
      packer.reset()
    }
    this.#unsent = this.#pending.length
    this.#wakeful.stay()
  }

  /** When every append so far has settled. */
  drained(): Promise<void> {
    if (this.#pending.length === this.#first) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onDrained = resolve
    })
  }

  #encode(events: unknown, options: unknown): Pending {
    const pending = new Pending(this.#sequence)
    this.#submission.append(pending, this.#sequence, events, options)
    this.#sequence = (this.#sequence + 1) >>> 0
    return pending
  }

  #rejectUnsent(error: unknown): void {
    for (const { reject } of this.#pending.splice(this.#unsent)) reject?.(error)
    this.#afterSettling()
  }

  #settle(outcomes: Outcomes): void {
    const pending = this.#pending[this.#first]
    if (pending === undefined || pending.sequence !== outcomes.sequence) {
      throw new Error(`an outcome of append ${outcomes.sequence} is out of order`)
    }
    this.#first++
    if (outcomes.failed) pending.reject?.(outcomes.error())
    else pending.resolve?.(outcomes.receipt(pending.entities))
    this.#afterSettling()
  }

  #afterSettling(): void {
    if (this.#first === this.#pending.length) {
      this.#pending.length = 0
      this.#unsent = 0
      this.#first = 0
      this.#native?.unref()
      this.#onDrained?.()
    } else if (this.#first >= 1024 && this.#first * 2 >= this.#pending.length) {
      this.#pending.splice(0, this.#first)
      this.#unsent -= this.#first
      this.#first = 0
    }
  }
}
