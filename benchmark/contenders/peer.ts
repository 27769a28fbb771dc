// What is asked of a store that Tetralog is compared with.
import type { Events, FactAndOrganisation } from '../workload.js'

export interface Peer {
  readonly name: string
  readonly version: string
  /** How it is set up, in words. */
  readonly setup: string
  open(path: string, options: PeerOptions): PeerStore
}

export interface PeerOptions {
  /** A call of append returns when the events would survive a power cut. */
  readonly isDurable: boolean
}

/** Reads give a number made of everything they touched. */
export interface PeerStore {
  /** All or nothing; the expected version of every event is checked. */
  append(events: Events): void
  /** Every event's position and payload. */
  scan(): number
  /** Every field of every event. */
  scanFields(): number
  /** All events of an entity. */
  stream(entity: string): number
  latest(entity: string): number
  /** All events of a fact below an organisation. */
  query(filter: FactAndOrganisation): number
  count(filter: FactAndOrganisation): number
  close(): Promise<void> | void
}

export function wrongVersion(entity: string): Error {
  return new Error(`The expected version of ${entity} does not hold.`)
}

/** Does the work with a store that is closed afterwards. */
export async function withPeerStore<T>(
  peer: Peer,
  path: string,
  options: PeerOptions,
  work: (store: PeerStore) => Promise<T> | T,
): Promise<T> {
  const store = peer.open(path, options)
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}
