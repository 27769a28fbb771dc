// Faults known from other event stores, by the store and the fault. Each must stay impossible here.
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { clock, type Store } from '../index.js'
import { rejected } from './helpers/refusals.js'
import {
  eventsOf,
  memoryStore,
  openStore,
  positions,
  temporaryFolder,
  versions,
} from './helpers/stores.js'

const segmentOf = (folder: string) => {
  const names = readdirSync(join(folder, 'segments')).filter((name) => name.endsWith('.seg'))
  return join(folder, 'segments', names.sort()[0] as string)
}

const withIds = (entity: string, ids: readonly string[]) =>
  ids.map((id) => ({ entity, fact: 'f', id }))

describe('EventfoldDB', () => {
  test('one flipped bit in the second of five appends does not cut off the rest', async () => {
    const folder = temporaryFolder()
    const store = await openStore(folder)
    for (let i = 0; i < 5; i++)
      await store.append({ entity: `e${i}`, fact: 'f', payload: `MARK${i}` })
    await store.close()
    const file = segmentOf(folder)
    const bytes = readFileSync(file)
    const at = bytes.indexOf('MARK1')
    bytes[at] = (bytes[at] as number) ^ 0x10
    writeFileSync(file, bytes)
    const again = await openStore(folder)
    expect(await again.head()).toBe(4)
    expect((await again.event(4))?.payload).toBe('MARK4')
    await again.close()
    expect(readFileSync(file).includes('MARK4')).toBe(true)
  })

  test('a retry never gives another entity’s positions', async () => {
    const store = await memoryStore()
    const id = randomUUID()
    await store.append(withIds('a', [id]))
    const other = await store.append(withIds('b', [id]))
    expect(other).toMatchObject({ duplicate: false, position: 1 })
    expect(other.versions).toEqual(new Map([['b', 0]]))
  })

  test('a retry of three events after a restart is answered as three events', async () => {
    const folder = temporaryFolder()
    const events = withIds('a', [randomUUID(), randomUUID(), randomUUID()])
    const store = await openStore(folder)
    const receipt = await store.append(events)
    await store.close()
    const again = await openStore(folder)
    expect(await again.append(events)).toEqual({ ...receipt, duplicate: true })
    expect(await again.head()).toBe(2)
  })

  test('an append that overlaps a stored one, but begins with a new id, is refused', async () => {
    const store = await memoryStore()
    const [x, y, z] = [randomUUID(), randomUUID(), randomUUID()]
    await store.append(withIds('a', [x, y]))
    await rejected(() => store.append(withIds('a', [z, x, y])), 'ERR_ID_CONFLICT')
    expect(await store.head()).toBe(1)
  })

  test('an empty append makes no entity and breaks no version', async () => {
    const store = await memoryStore()
    await store.append([])
    expect(await store.entities().toArray()).toEqual([])
    expect(await store.version('a')).toBe(-1)
  })

  test('ids are remembered at any age', async () => {
    const store = await memoryStore()
    const first = withIds('a', [randomUUID()])
    await store.append(first)
    for (let i = 0; i < 2; i++) await store.append(eventsOf('b', 60_000))
    await store.append(
      withIds(
        'a',
        Array.from({ length: 10_000 }, () => randomUUID()),
      ),
    )
    expect(await store.append(first)).toMatchObject({ duplicate: true, position: 0 })
  })

  test('reading backwards works', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 5))
    expect(positions(await store.all({ backwards: true }).toArray())).toEqual([4, 3, 2, 1, 0])
  })
})

describe('estore', () => {
  const at = (ms: number) => clock.fromMs(ms)

  test('a torn tail neither shifts nor hides what is appended later', async () => {
    const folder = temporaryFolder()
    const store = await openStore(folder)
    await store.append({ entity: 'a', fact: 'first', payload: 'one' })
    await store.append({ entity: 'a', fact: 'torn', payload: 'TORN'.repeat(100) })
    await store.close()
    const file = segmentOf(folder)
    // The frame's end is lost, as by a power cut in the middle of a write.
    const bytes = readFileSync(file)
    const start = bytes.indexOf('TORN')
    const length = bytes.length
    truncateSync(file, start + 20)
    truncateSync(file, length)
    const again = await openStore(folder).catch((error: unknown) => error as Error)
    if (again instanceof Error) throw again
    if (!again.readOnly) {
      await again.append({ entity: 'a', fact: 'later', payload: 'three' })
      const events = await again.stream('a').toArray()
      expect(events.map(({ fact, payload }) => [fact, payload])).toEqual([
        ['first', 'one'],
        ['later', 'three'],
      ])
    } else {
      // What was acknowledged is never cut off: then the damage is reported instead.
      expect((await again.event(0))?.payload).toBe('one')
      expect(again.damage).not.toEqual([])
    }
  })

  test('a clock range gives nothing after its end, however late its events came', async () => {
    const store = await memoryStore()
    for (const ms of [100, 50, 110, 105, 10, 200, 106]) {
      await store.append({ entity: 'a', fact: 'f', clock: at(ms) })
    }
    const query = store.query().since(at(0)).until(at(105)).orderBy('clock')
    const found = (await query.toArray()).map((event) => clock.toDate(event.clock).getTime())
    expect(found).toEqual([10, 50, 100, 105])
  })

  test('a range whose start lies after its end is empty, and crashes nothing', async () => {
    const store = await memoryStore()
    await store.append({ entity: 'a', fact: 'f', clock: at(5) })
    expect(await store.query().since(at(10)).until(at(1)).toArray()).toEqual([])
  })

  test('a count is exact', async () => {
    const store = await memoryStore()
    for (let i = 0; i < 20; i++) await store.append(eventsOf('a', i))
    expect(await store.all().count()).toBe(190)
    expect((await store.stats()).events).toBe(190)
  })

  test('a misspelt option is refused, not ignored', async () => {
    await rejected(
      () => openStore(temporaryFolder(), { fsyncIntervallMs: 5 } as object),
      'ERR_INVALID_ARGUMENT',
      { suggestion: 'fsyncIntervalMs' },
    )
  })

  test('a batch over a large range of clocks is one append', async () => {
    const store = await memoryStore()
    const events = [0, 1e12, 5].map((ms) => ({ entity: 'a', fact: 'f', clock: at(ms) }))
    expect((await store.append(events)).count).toBe(3)
    await rejected(
      () => store.append([...events, { entity: 'a', fact: 'f', expect: 'none' }]),
      'ERR_WRONG_EXPECTED_VERSION',
    )
    expect(await store.head()).toBe(2)
  })

  test('the same clock and payload twice are two events, the same id one', async () => {
    const store = await memoryStore()
    const event = { entity: 'a', fact: 'f', clock: at(1), payload: 'x' }
    await store.append(event)
    await store.append(event)
    expect(await store.head()).toBe(1)
    const withId = { ...event, id: randomUUID() }
    await store.append(withId)
    await store.append(withId)
    expect(await store.head()).toBe(2)
  })
})

describe('erl-esdb', () => {
  test('an append whose last event is refused writes none of the others', async () => {
    const store = await memoryStore()
    await rejected(
      () => store.append([...eventsOf('a', 9), { entity: 'a', fact: 'f', expect: 3 }]),
      'ERR_WRONG_EXPECTED_VERSION',
      { expected: 3, actual: 8 },
    )
    expect(await store.version('a')).toBe(-1)
  })

  test('events of one append keep their order, though they share their recorded time', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 500))
    const events = await store.all().toArray()
    expect(events.map(({ fact }) => fact)).toEqual(Array.from({ length: 500 }, (_, i) => `f${i}`))
  })

  test('reading an entity backwards from its start gives its first event, and from its end all', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 5))
    expect(versions(await store.stream('a', { from: 0, backwards: true }).toArray())).toEqual([0])
    expect(versions(await store.stream('a', { backwards: true }).toArray())).toEqual([
      4, 3, 2, 1, 0,
    ])
  })

  test('a query looks at every event of an entity, however many there are', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 12_000))
    await store.append({ entity: 'a', fact: 'last', tags: ['t'] })
    expect(await store.query({ tags: { any: ['t'] } }).count()).toBe(1)
    expect((await store.query({ fact: 'last' }).first())?.version).toBe(12_000)
  })

  test('an exact version of 0 is not taken for an empty entity', async () => {
    const store = await memoryStore()
    await rejected(
      () => store.append({ entity: 'a', fact: 'f' }, { expect: 0 }),
      'ERR_WRONG_EXPECTED_VERSION',
      { expected: 0, actual: -1 },
    )
  })
})

describe('mem_evoq_store', () => {
  const fill = (store: Store) =>
    store.append([
      { entity: 'a', fact: 'x', tags: ['t', 'u'] },
      { entity: 'b', fact: 'y', tags: ['t'] },
    ])

  test('reads by fact, by tags and of everything are there in memory too', async () => {
    const store = await memoryStore()
    await fill(store)
    expect(await store.all().count()).toBe(2)
    expect(await store.query({ fact: 'y' }).count()).toBe(1)
    expect(await store.query().tagged('t', 'u').count()).toBe(1)
    expect(await store.query().taggedAny('t', 'u').count()).toBe(2)
  })

  test('bad input crashes nothing and loses nothing', async () => {
    const store = await memoryStore()
    await fill(store)
    for (const bad of [{ from: -5 }, { limit: 'x' }, { backwards: 'forward' }]) {
      expect(() => store.all(bad as object)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
    }
    await rejected(() => store.append({ entity: 'a', fact: 5 } as never), 'ERR_INVALID_ARGUMENT')
    expect(await store.head()).toBe(1)
  })

  test('an entity’s chain is whole across appends, restarts and interleaving', async () => {
    const folder = temporaryFolder()
    for (let round = 0; round < 3; round++) {
      const store = await openStore(folder)
      for (let i = 0; i < 5; i++) await store.append([...eventsOf('a', 2), ...eventsOf('b', 1)])
      const events = await store.stream('a').toArray()
      for (const [i, event] of events.entries()) {
        const before = events[i - 1]?.link ?? new Uint8Array(32)
        expect(event.previousLink).toEqual(before)
      }
      expect((await store.verify()).ok).toBe(true)
      await store.close()
    }
  })

  test('appending to a long entity is not slower than to a new one', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('long', 50_000))
    const time = async (entity: () => string) => {
      const start = performance.now()
      for (let i = 0; i < 200; i++) await store.append({ entity: entity(), fact: 'f' })
      return performance.now() - start
    }
    await time(() => 'warm')
    let n = 0
    const fresh = await time(() => `new:${n++}`)
    expect(await time(() => 'long')).toBeLessThan(fresh * 10 + 100)
  })
})
