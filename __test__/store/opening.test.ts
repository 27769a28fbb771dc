import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Store } from '../../index.js'
import { rejectedArgument } from '../helpers/refusals.js'
import { temporaryFolder } from '../helpers/stores.js'

const EVENTS = 40_000

/** A closed store whose index files are gone, so that opening has to read everything. */
async function withoutIndexes(path: string): Promise<void> {
  const store = await Store.open(path, { durability: 'none', segmentMaxBytes: 1 << 20 })
  for (let i = 0; i < EVENTS; i += 1000) {
    const events = Array.from({ length: 1000 }, (_, k) => ({
      entity: `e${k}`,
      fact: 'counted',
      payload: 'x'.repeat(100),
    }))
    await store.append(events)
  }
  await store.close()
  await rm(join(path, 'runs'), { recursive: true })
  await mkdir(join(path, 'runs'))
  for (const name of await readdir(join(path, 'segments'))) {
    if (name.endsWith('.idx')) await rm(join(path, 'segments', name))
  }
}

describe('opening a store that has much to read', () => {
  test('reports how far it is', async () => {
    const path = join(temporaryFolder(), 'store')
    await withoutIndexes(path)
    const seen: number[] = []
    const store = await Store.open(path, {
      onProgress: ({ events, bytes, share }) => {
        expect(bytes).toBeGreaterThan(0)
        expect(share).toBeLessThanOrEqual(1)
        seen.push(events)
      },
    })
    expect(seen.length).toBeGreaterThan(0)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(await store.head()).toBe(EVENTS - 1)
    await store.close()
  })

  test('is given up on an abort, and leaves the store as it was', async () => {
    const path = join(temporaryFolder(), 'store')
    await withoutIndexes(path)
    const controller = new AbortController()
    const opening = Store.open(path, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(opening).rejects.toThrow('enough')
    const store = await Store.open(path)
    expect(await store.head()).toBe(EVENTS - 1)
    expect((await store.verify()).ok).toBe(true)
    await store.close()
  })

  test('is given up if its listener throws', async () => {
    const path = join(temporaryFolder(), 'store')
    await withoutIndexes(path)
    const opening = Store.open(path, {
      onProgress: () => {
        throw new Error('no listener')
      },
    })
    await expect(opening).rejects.toThrow('no listener')
    const store = await Store.open(path)
    await store.close()
  })

  test('does not begin with a signal that is aborted, and refuses what is none', async () => {
    const path = join(temporaryFolder(), 'store')
    const reason = new Error('before')
    await expect(Store.open(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await expect(readdir(path)).rejects.toThrow('ENOENT')
    const listener = 1 as unknown as () => void
    await rejectedArgument(() => Store.open(path, { onProgress: listener }), 'options.onProgress')
    const signal = {} as AbortSignal
    await rejectedArgument(() => Store.open(path, { signal }), 'options.signal')
  })
})
