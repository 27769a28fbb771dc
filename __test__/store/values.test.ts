import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { rejected, rejectedArgument } from '../helpers/refusals.js'
import { eventsOf, memoryStore, openStore, positions, temporaryFolder } from '../helpers/stores.js'

test('names that no event can have are refused where they are literal, and match nothing in filters', async () => {
  const store = await memoryStore()
  await store.append(eventsOf('a', 1))
  for (const name of ['', 'a\0b']) {
    await rejectedArgument(() => store.latest(name), 'entity')
    await rejectedArgument(() => store.version(name), 'entity')
    await rejectedArgument(() => store.stream(name).toArray(), 'entity')
    expect(await store.query({ entity: { exact: name } }).count()).toBe(0)
  }
  await rejected(() => store.latest('x'.repeat(1025)), 'ERR_LIMIT_EXCEEDED', {
    argument: 'entity',
    limit: 1024,
    actual: 1025,
  })
})

test('a filter of thousands of alternatives is answered', async () => {
  const store = await memoryStore()
  await store.append(eventsOf('e7', 2))
  const names = Array.from({ length: 20_000 }, (_, i) => `e${i}`)
  expect(await store.query({ entity: names }).count()).toBe(2)
  const filters = names.slice(0, 2000).map((entity) => ({ entity }))
  expect(await store.query(filters).count()).toBe(2)
})

test('a refused append does not disturb the ones around it', async () => {
  const store = await openStore(temporaryFolder())
  const good = store.append(eventsOf('a', 2))
  const bad = store.append([...eventsOf('a', 1), { entity: 'a', fact: 'f', payload: 1n }])
  const later = store.append(eventsOf('b', 1))
  await rejectedArgument(() => bad, 'events[1].payload')
  expect((await good).lastPosition).toBe(1)
  expect((await later).position).toBe(2)
})

test('an append from inside a toJSON() of another is refused, the other is whole', async () => {
  const store = await memoryStore()
  const inner: Promise<unknown>[] = []
  const payload = {
    toJSON() {
      const nested = store.append({ entity: 'inner', fact: 'f' })
      nested.catch(() => {})
      inner.push(nested)
      return { ok: true }
    },
  }
  await store.append({ entity: 'outer', fact: 'f', payload })
  await rejectedArgument(() => inner[0] as Promise<unknown>, 'events')
  expect((await store.latest('outer'))?.payload).toEqual({ ok: true })
  expect(await store.exists('inner')).toBe(false)
})

test('reads at one asOf agree, whatever is appended between them', async () => {
  const store = await memoryStore()
  await store.append([...eventsOf('a', 3), ...eventsOf('b', 2)])
  const asOf = await store.head()
  const first = positions(await store.all({ asOf }).toArray())
  await store.append(eventsOf('a', 10))
  expect(positions(await store.all({ asOf }).toArray())).toEqual(first)
  expect(await store.stream('a', { asOf }).count()).toBe(3)
  expect(await store.query({ entity: 'a' }, { asOf }).count()).toBe(3)
  const { events, head } = await store.query({ entity: 'a' }).boundary()
  expect([events.length, head]).toEqual([13, 14])
})

test('a signal that outlives its reads keeps no listener', async () => {
  const store = await memoryStore()
  await store.append(eventsOf('a', 100))
  const { signal } = new AbortController()
  for (let i = 0; i < 20; i++) {
    await store.all({ signal }).toArray()
    for await (const _ of store.stream('a', { signal })) break
    await store.verify({ signal })
  }
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('a hundred reads at once do not disturb each other, nor the writer', async () => {
  const store = await openStore(temporaryFolder(), { durability: 'none' })
  for (let i = 0; i < 20; i++) await store.append(eventsOf(`e${i % 4}`, 500))
  const reads = Array.from({ length: 100 }, (_, i) => store.stream(`e${i % 4}`).toArray())
  const writes = Array.from({ length: 100 }, (_, i) =>
    store.append({ entity: `e${i % 4}`, fact: 'g' }),
  )
  for (const events of await Promise.all(reads)) {
    expect(events.length).toBeGreaterThanOrEqual(2500)
    expect(events.map(({ version }) => version)).toEqual(events.map((_, i) => i))
  }
  await Promise.all(writes)
})
