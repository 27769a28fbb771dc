// Fresh folders for stores, and the one store that all measurements of reading share.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type NewEvent, Store, type StoreOptions } from 'tetralog'
import { rate, type Settings } from './measurement.js'
import { RawFile } from './raw-file.js'
import type { WorkloadEvent } from './workload.js'

export type Events = readonly NewEvent<WorkloadEvent>[]
export const batchSize = 1000

/** Does the work with a store of its own, which is closed and removed afterwards. */
export async function inFreshStore<T>(
  settings: Settings,
  options: StoreOptions,
  work: (store: Store, path: string) => Promise<T>,
): Promise<T> {
  const path = mkdtempSync(join(settings.folder, 'store-'))
  try {
    await using store = await Store.open(path, options)
    return await work(store, path)
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** A round of the raw file: groups of events, each written at once, and synced or not. */
export async function rawRound(
  settings: Settings,
  events: Events,
  groupSize: number,
  isSynced: boolean,
): Promise<number> {
  const path = join(settings.folder, 'raw')
  const file = new RawFile(path, events.length)
  try {
    return await rate(events.length, () => {
      for (const group of groupsOf(events, groupSize)) {
        file.append(group)
        if (isSynced) file.sync()
      }
    })
  } finally {
    file.close()
    rmSync(path)
  }
}

export function groupsOf(events: Events, size: number): Events[] {
  const groups: Events[] = []
  for (let start = 0; start < events.length; start += size) {
    groups.push(events.slice(start, start + size))
  }
  return groups
}

/** Fills a store in batches and closes it. */
export async function fillStore(path: string, events: Events, options: StoreOptions = {}) {
  await using store = await Store.open(path, { durability: 'none', ...options })
  for (const batch of groupsOf(events, batchSize)) await store.append<WorkloadEvent>(batch)
  await store.sync()
}
