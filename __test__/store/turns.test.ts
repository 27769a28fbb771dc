import { describe, expect, test } from 'vitest'
import { memoryStore } from '../helpers/stores.js'

// Without a turn for the event loop these loops never end: not even the time limit of a test is
// noticed. So each gives up by itself.
const GIVE_UP_MS = 3000

async function untilTimer(read: () => Promise<unknown>): Promise<boolean> {
  let fired = false
  setTimeout(() => {
    fired = true
  }, 20)
  const until = performance.now() + GIVE_UP_MS
  while (!fired && performance.now() < until) await read()
  return fired
}

describe('a loop of reads that are answered on the spot', () => {
  test('lets timers fire', async () => {
    const store = await memoryStore()
    await store.append({ entity: 'a', fact: 'f', payload: 'x' })
    expect(await untilTimer(() => store.latest('a'))).toBe(true)
    expect(await untilTimer(() => store.version('b'))).toBe(true)
    expect(await untilTimer(() => store.event(0))).toBe(true)
    expect(await untilTimer(() => store.stream('a').toArray())).toBe(true)
    expect(await untilTimer(() => store.all().first())).toBe(true)
  })

  test('lets the append through that it waits for', async () => {
    const store = await memoryStore()
    const appended = store.append({ entity: 'a', fact: 'f' })
    const until = performance.now() + GIVE_UP_MS
    while ((await store.version('a')) < 0 && performance.now() < until);
    expect(await store.version('a')).toBe(0)
    await appended
  })

  test('ends with the store, and with its signal, also between two turns', async () => {
    const store = await memoryStore()
    await store.append({ entity: 'a', fact: 'f' })
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error('enough')), 20)
    const looping = async (): Promise<void> => {
      for (;;) await store.stream('a', { signal: controller.signal }).toArray()
    }
    await expect(looping()).rejects.toThrow('enough')
    setTimeout(() => store.close(), 20)
    const asking = async (): Promise<void> => {
      for (;;) await store.latest('a')
    }
    await expect(asking()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})
