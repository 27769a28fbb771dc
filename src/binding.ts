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
  submit(submission: Uint8Array, more: boolean): void
  stage(part: Uint8Array, expected: number): void
  submitStaged(more: boolean): void
  unstage(): void
  appendSync(submission: Uint8Array): Uint8Array
  ref(): void
  unref(): void
  /** What stands for the store in calls that are functions. */
  readonly handle: number
  latestAsync(entity: string): Promise<Uint8Array | null>
  eventAsync(position: number): Promise<Uint8Array | null>
  versionAsync(entity: string): Promise<number>
  head(): Promise<number>
  read(spec: Uint8Array): NativeRead
  /** Puts the first batch into `out`: its length, or -1 if the read has to begin by `read`. */
  readNow(spec: Uint8Array, out: Uint8Array): number
  /** How many events a read has; NaN if another thread has to count. */
  countNow(spec: Uint8Array): number
  /** The read of the last `readNow`, to go on with. */
  begun(): NativeRead
  source(): NativeSource
  verify(entity: string | null): NativeVerify
  statsNow(): string | null
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

// What answers at once or not at all: -1 (NaN of `versionNow`) means that it would have to wait, and that
// the store's `…Async` has to be used. An event is put into `out` from `at` on; -n if there is no
// room for its n bytes, 0 if there is none.
interface PointReads {
  latestNow(store: number, entity: string, out: Uint8Array, at: number): number
  eventNow(store: number, position: number, out: Uint8Array, at: number): number
  versionNow(store: number, entity: string): number
}

// Functions of no store. `repair` gives a report as JSON.
interface Tools {
  repair(path: string, dryRun: boolean, opening: NativeOpening): Promise<string>
  linkOf(
    previous: Uint8Array,
    version: number,
    recordedUs: number,
    id: Uint8Array,
    entity: string,
    fact: string,
    scope: string,
    contentType: string,
    clock: Uint8Array,
    tags: string[],
    metadataKind: number,
    metadata: Uint8Array,
    payload: Uint8Array,
  ): Uint8Array
}

export const { repair, linkOf } = native as unknown as Tools
export const { latestNow, eventNow, versionNow } = native as unknown as PointReads

// The generated types are weaker than the contract: promises of unknown, for example.
export const NativeOpening = native.NativeOpening as unknown as new () => NativeOpening
export const nativeStore = native.NativeStore as unknown as NativeStoreClass
