// The one door to the native addon. The interfaces say what the rest of src may rely on; the types
// that napi generates stay behind this file.
import * as native from '#binding'

/** One read at one head. Its calls must not overlap. */
export interface NativeRead {
  next(): Promise<Uint8Array | null>
  /** From the next batch on, events come with their previous links. */
  wantPreviousLinks(): void
  count(): Promise<number>
  explain(): Promise<string>
  cancel(): void
}

/** Looks up what events need that is not in their batch, also when the store is closed. */
export interface NativeSource {
  /** The string that the event at a position refers to so. */
  text(position: number, reference: number): string
  previousLinks(positions: Float64Array): Uint8Array
}

export interface NativeVerify {
  step(): Promise<string>
}

export interface NativeStore {
  info(): string
  submit(submission: Uint8Array): void
  appendSync(submission: Uint8Array): Uint8Array
  ref(): void
  unref(): void
  // The calls `…Now` answer at once or not at all: a length of -1 (NaN of `versionNow`) means that
  // they would have to wait, and that the other call has to be used. They put a batch into `out`.
  // Those of one event put it into `out` from `at` on, and give -n if there is no room for n bytes.
  latestNow(entity: string, out: Uint8Array, at: number): number
  latestAsync(entity: string): Promise<Uint8Array | null>
  eventNow(position: number, out: Uint8Array, at: number): number
  eventAsync(position: number): Promise<Uint8Array | null>
  versionNow(entity: string): number
  versionAsync(entity: string): Promise<number>
  head(): Promise<number>
  read(spec: Uint8Array): NativeRead
  readNow(spec: Uint8Array, out: Uint8Array): number
  /** The read of the last `readNow`, to go on with. */
  begun(): NativeRead
  source(): NativeSource
  verify(entity: string | null): NativeVerify
  stats(): Promise<string>
  sync(): Promise<void>
  close(): Promise<void>
}

/** How far an opening is, as JSON (null before there is anything to say), and a way to give it up. */
export interface NativeOpening {
  progress(): string | null
  cancel(): void
}

export type OnOutcomes = (outcomes: Uint8Array) => void

interface NativeStoreClass {
  open(
    path: string,
    durability: number,
    readOnly: boolean,
    fsyncIntervalMs: number,
    fsyncEventCount: number,
    maxInFlightBytes: number,
    maxPayloadBytes: number,
    segmentMaxBytes: number,
    opening: NativeOpening,
    onOutcomes: OnOutcomes,
  ): Promise<NativeStore>
  memory(
    maxPayloadBytes: number,
    segmentMaxBytes: number,
    onOutcomes: OnOutcomes,
  ): Promise<NativeStore>
}

// The generated types are weaker than the contract: promises of unknown, for example.
export const NativeOpening = native.NativeOpening as unknown as new () => NativeOpening
export const nativeStore = native.NativeStore as unknown as NativeStoreClass
