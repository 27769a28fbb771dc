// Where stores of Tetralog and of its peers are made: fresh ones for appends, filled ones for reads.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Store, type StoreOptions } from 'tetralog'
import type { Settings } from '../measurement.js'
import { type Events, groupsOf, type WorkloadEvent } from '../workload.js'
import { type Peer, type PeerOptions, type PeerStore, withPeerStore } from './peer.js'

export const batchSize = 1000
const inFlight = 4

/** Does the work with a store of its own, which is closed and removed afterwards. */
export function inFreshStore<T>(
  settings: Settings,
  options: StoreOptions,
  work: (store: Store) => Promise<T> | T,
): Promise<T> {
  return inFreshFolder(settings, async (path) => {
    await using store = await Store.open(path, options)
    return await work(store)
  })
}

export function inFreshPeerStore<T>(
  settings: Settings,
  peer: Peer,
  options: PeerOptions,
  work: (store: PeerStore) => Promise<T> | T,
): Promise<T> {
  return inFreshFolder(settings, (path) => withPeerStore(peer, path, options, work))
}

export async function inFreshFolder<T>(
  { folder }: Settings,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const path = mkdtempSync(join(folder, 'store-'))
  try {
    return await work(path)
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** Fills a store with batches and closes it. */
export async function fillStore(path: string, batches: Iterable<Events>): Promise<void> {
  await using store = await Store.open(path, { durability: 'none' })
  await appendAhead(store, batches)
  await store.sync()
}

/** Appends batches, some of which are in flight at a time. */
export async function appendAhead(store: Store, batches: Iterable<Events>): Promise<void> {
  const pending: Promise<unknown>[] = []
  for (const batch of batches) {
    if (pending.length === inFlight) await pending.shift()
    pending.push(store.append<WorkloadEvent>(batch))
  }
  await Promise.all(pending)
}

export async function fillPeerStore(peer: Peer, path: string, events: Events): Promise<void> {
  mkdirSync(path, { recursive: true })
  await withPeerStore(peer, path, { isDurable: false }, (store) => {
    for (const batch of groupsOf(events, batchSize)) store.append(batch)
  })
}
