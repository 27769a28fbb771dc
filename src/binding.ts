// The one door to the native addon. The interfaces say what the rest of src may rely on; the types
// that napi generates stay behind this file.
import * as native from '#binding'

/** One read at one head. Its calls must not overlap. */
export interface NativeRead {
  next(): Promise<Uint8Array | null>
  head(): number
  count(): Promise<number>
  explain(): Promise<string>
  previousLink(position: number): Uint8Array
  cancel(): void
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
  latest(entity: string): Uint8Array | null | undefined
  latestAsync(entity: string): Promise<Uint8Array | null>
  event(position: number): Uint8Array | null | undefined
  eventAsync(position: number): Promise<Uint8Array | null>
  version(entity: string): number
  versionAsync(entity: string): Promise<number>
  head(): Promise<number>
  read(spec: Uint8Array): NativeRead
  verify(entity: string | null): NativeVerify
  stats(): Promise<string>
  sync(): Promise<void>
  close(): Promise<void>
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
    onOutcomes: OnOutcomes,
  ): Promise<NativeStore>
  memory(
    maxPayloadBytes: number,
    segmentMaxBytes: number,
    onOutcomes: OnOutcomes,
  ): Promise<NativeStore>
}

// The generated types are weaker than the contract: promises of unknown, for example.
export const nativeStore = native.NativeStore as unknown as NativeStoreClass
