// A native store that records what it is told and answers when the test says so.
import type { NativeRead, NativeSource, NativeStore } from '../../src/binding.js'

export class FakeRead implements NativeRead {
  readonly waiting: {
    resolve: (value: Uint8Array | null) => void
    reject: (error: Error) => void
  }[] = []
  calls = 0
  cancelled = 0
  running = 0
  wantsLinks = false
  answers: (Uint8Array | null | Error)[]

  constructor(answers: (Uint8Array | null | Error)[] = []) {
    this.answers = answers
  }

  next(): Promise<Uint8Array | null> {
    this.calls++
    if (this.running > 0) throw new Error('calls of next() overlap')
    this.running++
    const promise = new Promise<Uint8Array | null>((resolve, reject) => {
      this.waiting.push({ resolve, reject })
    }).finally(() => {
      this.running--
    })
    this.answer()
    return promise
  }

  /** Settles what waits, as far as there are answers. */
  answer(...answers: (Uint8Array | null | Error)[]): void {
    this.answers.push(...answers)
    while (this.waiting.length > 0 && this.answers.length > 0) {
      const waiter = this.waiting.shift()
      const answer = this.answers.shift() as Uint8Array | null | Error
      if (answer instanceof Error) waiter?.reject(answer)
      else waiter?.resolve(answer)
    }
  }

  wantPreviousLinks(): void {
    this.wantsLinks = true
  }

  count(): Promise<number> {
    return Promise.resolve(5)
  }

  explain(): Promise<string> {
    return Promise.resolve('{"plan":"scan","recordsTouched":3}')
  }

  cancel(): void {
    this.cancelled++
  }
}

export class FakeNative {
  #spec: Uint8Array = new Uint8Array(0)
  readonly log: string[] = []
  readonly submissions: Buffer[] = []
  isMoreAnnounced = false
  readonly specs: Buffer[] = []
  readonly reads: FakeRead[] = []
  syncAnswer: Uint8Array | Error = new Uint8Array(0)
  submitError: Error | undefined
  stageError: Error | undefined
  answers: (Uint8Array | null | Error)[][] = []
  /** What the next reads begin with at once. */
  readonly atOnce: Uint8Array[] = []
  /** What the next counts give at once. */
  readonly countsAtOnce: number[] = []
  previousLinks = new Uint8Array(32)

  readonly staged: Buffer[] = []

  stage(part: Uint8Array, _expected: number): void {
    if (this.stageError !== undefined) throw this.stageError
    this.staged.push(Buffer.from(part))
  }

  unstage(): void {
    this.staged.length = 0
  }

  submitStaged(more: boolean): void {
    const append = Buffer.concat(this.staged.splice(0))
    append.writeUInt32LE(append.length, 0)
    this.submit(append, more)
  }

  submit(bytes: Uint8Array, more: boolean): void {
    if (this.submitError !== undefined) throw this.submitError
    this.isMoreAnnounced = more
    if (bytes.length === 0) return
    this.log.push('submit')
    this.submissions.push(Buffer.from(bytes))
  }

  appendSync(bytes: Uint8Array): Uint8Array {
    this.log.push('appendSync')
    this.submissions.push(Buffer.from(bytes))
    if (this.syncAnswer instanceof Error) throw this.syncAnswer
    return this.syncAnswer
  }

  ref(): void {
    this.log.push('ref')
  }

  unref(): void {
    this.log.push('unref')
  }

  read(spec: Uint8Array): FakeRead {
    this.specs.push(Buffer.from(spec))
    const read = new FakeRead(this.answers.shift())
    this.reads.push(read)
    return read
  }

  readNow(spec: Uint8Array, out: Uint8Array): number {
    this.#spec = Buffer.from(spec)
    const batch = this.atOnce.shift()
    if (batch === undefined) return -1
    out.set(batch)
    return batch.length
  }

  countNow(): number {
    return this.countsAtOnce.shift() ?? Number.NaN
  }

  begun(): FakeRead {
    return this.read(this.#spec)
  }

  source(): NativeSource {
    return { text: () => 'text', previousLinks: () => this.previousLinks }
  }

  asStore(): NativeStore {
    return this as unknown as NativeStore
  }
}

export function nativeError(fields: object): Error {
  return new Error(JSON.stringify({ message: 'm', written: false, ...fields }))
}
