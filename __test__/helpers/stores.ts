// Stores for tests: closed and removed when the test ends.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe } from 'vitest'
import { type RecordedEvent, Store, type StoreOptions } from '../../index.js'

const stores = new Set<Store>()
const folders = new Set<string>()

afterEach(async () => {
  await Promise.allSettled([...stores].map((store) => store.close()))
  stores.clear()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  folders.clear()
})

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tetralog-test-'))
  folders.add(folder)
  return folder
}

export async function openStore(path: string | URL, options?: StoreOptions): Promise<Store> {
  return keep(await Store.open(path, options))
}

export async function memoryStore(options?: { maxPayloadBytes?: number }): Promise<Store> {
  return keep(await Store.memory(options))
}

function keep(store: Store): Store {
  stores.add(store)
  return store
}

/** The same claims for a store on disk and for one in memory. */
export function onEachBackend(claims: (make: () => Promise<Store>) => void): void {
  describe('on disk', () => claims(() => openStore(temporaryFolder(), { durability: 'none' })))
  describe('in memory', () => claims(() => memoryStore()))
}

export const positions = (events: readonly { position: number }[]): number[] =>
  events.map(({ position }) => position)

export const versions = (events: readonly RecordedEvent[]): number[] =>
  events.map(({ version }) => version)

export const facts = (events: readonly RecordedEvent[]): string[] => events.map(({ fact }) => fact)

/** So many events of one entity, with facts f0, f1 and so on. */
export function eventsOf(entity: string, count: number, first = 0) {
  return Array.from({ length: count }, (_, i) => ({ entity, fact: `f${first + i}` }))
}
