// Appends on their way: what one tick appends goes over together, in few native calls, and outcomes
// come back packed, in the order of the appends.
import type { NativeStore } from './binding.js'
import { fromNative, invalidArgument } from './errors.js'
import { LargeAppend } from './large-append.js'
import { Outcomes } from './receipt.js'
import { type Pace, Submission, type Written } from './submission.js'
import { packing, turn } from './turn.js'
import type { Receipt } from './types.js'
import { Wakeful } from './wakeful.js'

// So much is handed over before the tick has ended: the writer works on it while the rest is packed.
const PART_BYTES = 3 * 1024
const NOTHING = new Uint8Array(0)
// Events whose appends settle one right after the other. Then come those who waited for them: what they append
// is on its way to the writer while the others settle.
const SETTLED_AT_ONCE = 8
// While so many wait, arrays that are not long are packed at their calls, whatever the turn's time: who appends more
// than the loop can pack has to be slowed down.
const MOST_PAUSED = 64
const LONG_EVENTS = 2048
// Submissions kept for the next that pause.
const MOST_SPARES = 8
const DEFAULT_MAX_PAYLOAD_BYTES = 16 * 1024 * 1024

type Resolve = (receipt: Receipt) => void
type Reject = (error: unknown) => void

/** What is needed to settle an append's promise. */
class Pending implements Written {
  readonly sequence: number
  entities: string | string[] = ''
  resolve: Resolve | undefined
  reject: Reject | undefined
  /** It was refused before the engine had seen it: there will be no outcome. */
  isRefused = false

  constructor(sequence: number) {
    this.sequence = sequence
  }
}

/** An append that is packed over several turns; it holds up those behind it. */
interface Paused {
  readonly large: LargeAppend
  readonly pending: Pending
}

// One executor for every promise: a closure per append would cost more than packing the event.
let capturedResolve: Resolve | undefined
let capturedReject: Reject | undefined
function capture(resolve: Resolve, reject: Reject): void {
  capturedResolve = resolve
  capturedReject = reject
}

type Native = Pick<
  NativeStore,
  'submit' | 'stage' | 'submitStaged' | 'unstage' | 'appendSync' | 'ref' | 'unref'
>

// Queues with appends that have not settled: whoever waits for one may have let go of everything else.
const waiting = new Set<AppendQueue>()

export class AppendQueue {
  readonly #maxPayloadBytes: number
  #submission: Submission
  // Used again, because fresh memory costs more than the copy into it.
  readonly #spares: Submission[] = []
  #native: Native | undefined
  #sequence = 0
  // Settled from the front; the gap before #first is closed when it is worth it.
  #pending: Pending[] = []
  #first = 0
  // The first append that the engine does not have yet.
  #unsent = 0
  // The first of them is under way; the others wait for it, and so does what is in #submission.
  #paused: Paused[] = []
  #scheduled = false
  // The engine was told that more follows, or has handed outcomes over: it waits for a last submission.
  #isAwaited = false
  // What is not settled yet; of the first one maybe a part.
  readonly #outcomes: Outcomes[] = []
  #onDrained: (() => void) | undefined
  // Who waits until the engine has every append before one.
  #handingOver: { readonly sequence: number; readonly resolve: () => void }[] = []
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

  /** What paces an append of so many events. */
  readonly #paceOf = (count: number): Pace | undefined =>
    count > LONG_EVENTS || this.#paused.length < MOST_PAUSED ? packing : undefined

  readonly #nextTurn = (): void => {
    do this.#proceed(packing)
    while (this.#paused.length > 0 && !packing.isOver())
    if (this.#paused.length > 0) setImmediate(this.#nextTurn)
  }

  /**
   * Given to the native store when it opens, which holds on to it. So it must not hold on to the queue, which
   * holds on to the native store: nobody could collect a store that is forgotten.
   */
  readonly onOutcomes: (bytes: Uint8Array) => void = AppendQueue.#weakly(new WeakRef(this))

  static #weakly(queue: WeakRef<AppendQueue>): (bytes: Uint8Array) => void {
    return (bytes) => queue.deref()?.receive(bytes)
  }

  /** Takes packed outcomes. */
  receive(bytes: Uint8Array): void {
    this.#outcomes.push(new Outcomes(bytes))
    if (this.#outcomes.length === 1) this.#settleSome()
    this.#isAwaited = true
    // Behind those who are called back now, who may append again.
    queueMicrotask(this.#schedule)
  }

  /** Settles some, and goes on behind those who are called back: in the next turn if they use this one up. */
  readonly #settleSome = (): void => {
    if (turn.isOver()) {
      setImmediate(this.#settleSome)
      return
    }
    let left = SETTLED_AT_ONCE
    while (left > 0) {
      const outcomes = this.#outcomes[0]
      if (outcomes === undefined) return
      left -= this.#settle(outcomes)
      outcomes.next()
      if (outcomes.atEnd) this.#outcomes.shift()
    }
    if (this.#outcomes.length > 0) queueMicrotask(this.#settleSome)
  }

  constructor(maxPayloadBytes: number) {
    this.#maxPayloadBytes = Number.isNaN(maxPayloadBytes)
      ? DEFAULT_MAX_PAYLOAD_BYTES
      : maxPayloadBytes
    this.#submission = new Submission(this.#maxPayloadBytes)
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
    const submission = this.#submission
    const before = submission.packer.at
    const pending = new Pending(this.#sequence)
    const isPacked = submission.append(pending, this.#sequence, events, options, this.#paceOf)
    this.#sequence = (this.#sequence + 1) >>> 0
    const promise = new Promise<Receipt>(capture)
    pending.resolve = capturedResolve
    pending.reject = capturedReject
    if (this.#pending.length === this.#first) {
      this.#native?.ref()
      waiting.add(this)
    }
    this.#pending.push(pending)
    if (!isPacked) this.#pause(new LargeAppend(submission, before), pending)
    else if (submission.packer.at >= PART_BYTES) this.#submit(true)
    this.#schedule()
    return promise
  }

  /** Appends that have not settled. */
  get size(): number {
    return this.#pending.length - this.#first
  }

  /** Blocks until the append is durable; what was appended before it goes before it. */
  appendSync(events: unknown, options: unknown): Receipt {
    if (this.#submission.busy || this.#paused[0]?.large.submission.busy === true) {
      throw invalidArgument('events', 'cannot be appended by a getter of an event of an append')
    }
    while (this.#paused.length > 0) this.#proceed(undefined)
    this.flush()
    const pending = new Pending(this.#sequence)
    this.#submission.append(pending, this.#sequence, events, options)
    this.#sequence = (this.#sequence + 1) >>> 0
    this.#unsent = this.#sequence
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

  /** Hands over what has been packed. */
  flush(): void {
    if (this.#submission.packer.at > 0 || this.#isAwaited) this.#submit(false)
  }

  /** When the engine has every append so far. */
  handedOver(): Promise<void> {
    this.flush()
    if (this.#unsent === this.#sequence) return Promise.resolve()
    return new Promise((resolve) => {
      this.#handingOver.push({ sequence: this.#sequence, resolve })
    })
  }

  /** The engine has every append before one, or they were rejected. */
  #handedOverTo(sequence: number): void {
    this.#unsent = sequence
    const isDone = (each: { readonly sequence: number }) => ((sequence - each.sequence) | 0) >= 0
    while (this.#handingOver[0] !== undefined && isDone(this.#handingOver[0])) {
      this.#handingOver.shift()?.resolve()
    }
  }

  /** When every append so far has settled. */
  drained(): Promise<void> {
    if (this.#pending.length === this.#first) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onDrained = resolve
    })
  }

  #submit(more: boolean): void {
    const { packer, busy } = this.#submission
    if (busy) return
    if (this.#paused.length > 0) {
      this.#answer()
      return
    }
    this.#isAwaited = more
    try {
      this.#native?.submit(packer.written(), more)
    } catch (error) {
      this.#rejectUnsent(fromNative(error))
    } finally {
      packer.reset()
    }
    this.#handedOverTo(this.#sequence)
    this.#wakeful.stay()
  }

  /** Tells the engine not to wait for what comes next. */
  #answer(): void {
    if (!this.#isAwaited) return
    this.#isAwaited = false
    this.#native?.submit(NOTHING, false)
  }

  #pause(large: LargeAppend, pending: Pending): void {
    this.#submission = this.#spares.pop() ?? new Submission(this.#maxPayloadBytes)
    this.#paused.push({ large, pending })
    if (this.#paused.length > 1) return
    this.#begin()
    setImmediate(this.#nextTurn)
  }

  /** Hands over what stands before the first of those that have paused, and begins with it. */
  #begin(): void {
    const [first] = this.#paused
    if (first === undefined || this.#native === undefined) return
    try {
      first.large.precede(this.#native)
      this.#handedOverTo(first.pending.sequence)
      first.large.begin(this.#native)
    } catch (error) {
      this.#rejectUnsent(fromNative(error))
    }
  }

  /** Goes on with the first of those that have paused; when it is done, the next one begins. */
  #proceed(pace: Pace | undefined): void {
    const [first] = this.#paused
    if (first === undefined || this.#native === undefined) return
    const more = this.#paused.length > 1
    try {
      if (!first.large.proceed(this.#native, more, pace)) return
      this.#isAwaited = more
    } catch (error) {
      this.#native.unstage()
      this.#refuse(first.pending, fromNative(error))
    }
    this.#handedOverTo((first.pending.sequence + 1) >>> 0)
    this.#paused.shift()
    if (this.#spares.length < MOST_SPARES) this.#spares.push(first.large.submission)
    if (this.#paused.length > 0) this.#begin()
    else this.#resumeOthers()
  }

  #resumeOthers(): void {
    this.flush()
    // None of those that are left, where they were refused.
    if (this.#submission.packer.at === 0) this.#handedOverTo(this.#sequence)
  }

  #refuse(pending: Pending, error: unknown): void {
    pending.isRefused = true
    pending.reject?.(error)
    this.#afterSettling()
  }

  #rejectUnsent(error: unknown): void {
    const pending = this.#pending
    let from = pending.length
    while (from > this.#first && this.#isUnsent(pending[from - 1])) from--
    if (this.#paused.length > 0) {
      this.#native?.unstage()
      this.#submission.packer.reset()
    }
    this.#paused.length = 0
    for (const { reject } of pending.splice(from)) reject?.(error)
    this.#afterSettling()
    this.#handedOverTo(this.#sequence)
  }

  /** Sequence numbers start over after 2^32: what counts is the distance. */
  #isUnsent(pending: Pending | undefined): boolean {
    return pending !== undefined && ((pending.sequence - this.#unsent) | 0) >= 0
  }

  /** Settles the append of the current outcome, and gives how many events it had, but at least 1. */
  #settle(outcomes: Outcomes): number {
    const pending = this.#pending[this.#first]
    if (pending === undefined || pending.sequence !== outcomes.sequence) {
      throw new Error(`an outcome of append ${outcomes.sequence} is out of order`)
    }
    this.#first++
    if (outcomes.failed) pending.reject?.(outcomes.error())
    else pending.resolve?.(outcomes.receipt(pending.entities))
    this.#afterSettling()
    return Math.max(outcomes.count, 1)
  }

  #afterSettling(): void {
    while (this.#pending[this.#first]?.isRefused === true) this.#first++
    if (this.#first === this.#pending.length) {
      this.#pending.length = 0
      this.#first = 0
      this.#native?.unref()
      waiting.delete(this)
      this.#onDrained?.()
    } else if (this.#first >= 1024 && this.#first * 2 >= this.#pending.length) {
      this.#pending.splice(0, this.#first)
      this.#first = 0
    }
  }
}
