import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Store, type StoreOptions, TetralogError } from '../../index.js'
import { refused, rejected, rejectedArgument } from '../helpers/refusals.js'
import {
  eventsOf,
  facts,
  memoryStore,
  openStore,
  positions,
  temporaryFolder,
} from '../helpers/stores.js'

const segment = (folder: string) => {
  const [name] = readdirSync(join(folder, 'segments'))
    .filter((name) => name.endsWith('.seg'))
    .sort()
  return join(folder, 'segments', name as string)
}

describe('opening', () => {
  test('makes a store where there is none, and finds it again', async () => {
    const folder = join(temporaryFolder(), 'new')
    const store = await openStore(folder)
    expect(store.readOnly).toBe(false)
    expect(store.damage).toEqual([])
    await store.append({ entity: 'a', fact: 'f', payload: { a: 1 }, tags: ['t'], scope: 's' })
    const before = (await store.event(0))?.toJSON()
    const { id } = store
    await store.close()
    const again = await openStore(pathToFileURL(folder))
    expect(again.id).toBe(id)
    expect(again.recovery).toMatchObject({ clean: true, tornBytes: 0 })
    expect((await again.event(0))?.toJSON()).toEqual(before)
    expect((await again.append({ entity: 'a', fact: 'g' })).version).toBe(1)
  })

  test('keeps ids and the own clock across a restart', async () => {
    const folder = temporaryFolder()
    const event = { entity: 'a', fact: 'f', id: '0190163d-8694-739b-aea5-966c26f8ad91' }
    const store = await openStore(folder)
    const receipt = await store.append(event)
    const [first] = await store.all().toArray()
    await store.close()
    const again = await openStore(folder)
    expect(await again.append(event)).toEqual({ ...receipt, duplicate: true })
    await again.append({ entity: 'a', fact: 'g' })
    const [, second] = await again.all().toArray()
    expect(Buffer.compare(first?.clock as Uint8Array, second?.clock as Uint8Array)).toBe(-1)
    expect(second?.previousLink).toEqual(first?.link)
  })

  test('works over many segments', async () => {
    const folder = temporaryFolder()
    const options = { segmentMaxBytes: 1024 * 1024, durability: 'none' } as const
    const store = await openStore(folder, options)
    const payload = new Uint8Array(50_000)
    for (let i = 0; i < 100; i++) {
      await store.append({ entity: `e${i % 7}`, fact: `f${i % 3}`, scope: `s/${i % 5}`, payload })
    }
    expect((await store.stats()).segments).toBeGreaterThan(3)
    const check = async (opened: Store) => {
      expect(positions(await opened.all().toArray())).toEqual(
        Array.from({ length: 100 }, (_, i) => i),
      )
      expect(positions(await opened.stream('e3').toArray())).toEqual(
        Array.from({ length: 14 }, (_, i) => i * 7 + 3),
      )
      expect(await opened.query({ fact: 'f1', scope: 's/1' }).count()).toBe(7)
      expect((await opened.verify()).ok).toBe(true)
    }
    await check(store)
    await store.close()
    await check(await openStore(folder, options))
  })

  test('of what is no path is refused', async () => {
    for (const path of ['', 'a\0b', 5, null, undefined, {}, new URL('https://example.org/')]) {
      await rejectedArgument(() => Store.open(path as string), 'path')
    }
    await rejectedArgument(
      () => Store.open(temporaryFolder(), { readonly: true } as StoreOptions),
      'options.readonly',
    )
    await rejectedArgument(
      () => Store.memory({ durability: 'none' } as object),
      'options.durability',
    )
    refused(() => new (Store as unknown as new () => Store)(), 'ERR_INVALID_ARGUMENT')
  })

  test('of a file, or of a directory that holds something else, is refused, untouched', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'file')
    writeFileSync(file, 'hello')
    await expect(Store.open(file)).rejects.toBeInstanceOf(TetralogError)
    expect(readFileSync(file, 'utf8')).toBe('hello')
    const broken = join(folder, 'broken')
    mkdirSync(broken)
    writeFileSync(join(broken, 'MANIFEST'), 'not a manifest')
    await expect(Store.open(broken)).rejects.toMatchObject({ written: false })
    expect(readFileSync(join(broken, 'MANIFEST'), 'utf8')).toBe('not a manifest')
  })

  test('by a second writer is refused at once, in the same process too', async () => {
    const folder = temporaryFolder()
    const store = await openStore(folder)
    const error = await rejected(() => Store.open(folder), 'ERR_LOCKED')
    expect(error).toHaveProperty('pid')
    await store.close()
    await openStore(folder)
  })

  test('of memory gives a store of its own each time', async () => {
    const [a, b] = [await memoryStore(), await memoryStore()]
    await a.append({ entity: 'a', fact: 'f' })
    expect(await b.head()).toBe(-1)
    expect(a.id).not.toBe(b.id)
    expect(await a.stats()).toMatchObject({ events: 1, entities: 1, head: 0, pendingAppends: 0 })
  })
})

describe('a read-only opener', () => {
  test('follows the writer, and writes nothing', async () => {
    const folder = temporaryFolder()
    const writer = await openStore(folder)
    await writer.append(eventsOf('a', 2))
    const reader = await openStore(folder, { readOnly: true })
    const other = await openStore(folder, { readOnly: true })
    expect(reader.readOnly).toBe(true)
    expect(await reader.head()).toBe(1)
    await writer.append(eventsOf('b', 1))
    for (const store of [reader, other]) {
      expect(await store.head()).toBe(2)
      expect(positions(await store.all().toArray())).toEqual([0, 1, 2])
      expect((await store.latest('b'))?.position).toBe(2)
      expect(await store.version('a')).toBe(1)
      expect(await store.query({ entity: 'b' }).count()).toBe(1)
      await rejected(() => store.append(eventsOf('a', 1)), 'ERR_READ_ONLY')
      expect(() => store.appendSync(eventsOf('a', 1))).toThrow(TetralogError)
    }
    await writer.close()
    expect(positions(await reader.all().toArray())).toEqual([0, 1, 2])
  })

  test('of nothing is refused, and makes nothing', async () => {
    const folder = join(temporaryFolder(), 'none')
    await expect(Store.open(folder, { readOnly: true })).rejects.toBeInstanceOf(TetralogError)
    expect(existsSync(folder)).toBe(false)
  })
})

describe('closing', () => {
  test('lets pending appends finish, and can be called twice', async () => {
    const folder = temporaryFolder()
    const store = await openStore(folder)
    const appends = Array.from({ length: 100 }, (_, i) =>
      store.append({ entity: 'a', fact: `f${i}` }),
    )
    const closing = store.close()
    expect(store.close()).toBe(closing)
    await closing
    expect((await Promise.all(appends)).map(({ position }) => position)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    )
    expect(await (await openStore(folder)).head()).toBe(99)
  })

  test('by a getter of an event lets the appends before it finish too', async () => {
    const store = await Store.memory()
    await store.head()
    let closing: Promise<void> | undefined
    const first = store.append({ entity: 'a', fact: 'first' })
    const second = store.append({
      entity: 'b',
      get fact() {
        closing ??= store.close()
        return 'second'
      },
    })
    expect((await first).position).toBe(0)
    await Promise.allSettled([second])
    await closing
  })

  test('refuses every later call with ERR_CLOSED', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 3))
    const reading = store.all()
    const query = store.query()
    await store.close()
    const calls: (() => Promise<unknown>)[] = [
      () => store.append({ entity: 'a', fact: 'f' }),
      () => store.append([]),
      () => store.latest('a'),
      () => store.event(0),
      () => store.version('a'),
      () => store.exists('a'),
      () => store.head(),
      () => store.verify(),
      () => store.stats(),
      () => store.sync(),
      () => reading.toArray(),
      () => reading.first(),
      () => reading.count(),
      () => query.boundary(),
      () => query.explain(),
      () => query.limit(0).toArray(),
    ]
    for (const call of calls) await rejected(call, 'ERR_CLOSED')
    for (const call of [
      () => store.appendSync([]),
      () => store.stream('a'),
      () => store.all(),
      () => store.query(),
      () => store.entities(),
    ]) {
      refused(call, 'ERR_CLOSED')
    }
    expect(store.id).toEqual(expect.any(String))
    expect(store.damage).toEqual([])
    expect(store.readOnly).toBe(false)
  })

  test('rejects reads that are open, and does not wait for a loop', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 10))
    const loop = async () => {
      for await (const event of store.all()) if (event.position === 3) await store.close()
    }
    await rejected(loop, 'ERR_CLOSED')
  })

  test('happens at the end of await using', async () => {
    const folder = temporaryFolder()
    {
      await using store = await Store.open(folder)
      await store.append({ entity: 'a', fact: 'f' })
    }
    await openStore(folder)
  })
})

describe('sync and stats', () => {
  test('sync makes everything so far durable', async () => {
    const store = await openStore(temporaryFolder(), { durability: 'none' })
    const appended = store.append(eventsOf('a', 5))
    await store.sync()
    expect((await appended).lastPosition).toBe(4)
    expect((await store.stats()).syncedPosition).toBe(4)
  })

  test('sync by a getter of an event makes durable what was appended before', async () => {
    const store = await openStore(temporaryFolder(), { durability: 'none' })
    await store.head()
    let synced: Promise<number> | undefined
    void store.append({ entity: 'a', fact: 'first' })
    const second = store.append({
      entity: 'b',
      get fact() {
        synced ??= store.sync().then(async () => (await store.stats()).syncedPosition)
        return 'second'
      },
    })
    expect(await synced).toBeGreaterThanOrEqual(0)
    await second
  })

  test('sync ends also if nothing was appended since, or only at once', async () => {
    const store = await openStore(temporaryFolder())
    store.appendSync({ entity: 'a', fact: 'f' })
    await store.sync()
    await rejectedArgument(() => store.append({ entity: '', fact: 'f' }), 'events[0].entity')
    await store.sync()
    expect((await store.stats()).syncedPosition).toBe(0)
  })

  test('stats count', async () => {
    const store = await openStore(temporaryFolder())
    await store.append([...eventsOf('a', 5), ...eventsOf('b', 2)])
    const stats = await store.stats()
    expect(stats).toMatchObject({ events: 7, entities: 2, head: 6, syncedPosition: 6, segments: 1 })
    expect(stats).toMatchObject({ pendingAppends: 0, pendingBytes: 0 })
    expect(stats.bytes).toBeGreaterThan(0)
  })
})

describe('verifying', () => {
  test('a healthy store, or one of its entities, is ok', async () => {
    const store = await openStore(temporaryFolder())
    for (let i = 0; i < 10; i++) await store.append([...eventsOf('a', 3), ...eventsOf('b', 1)])
    expect(await store.verify()).toEqual({ ok: true, events: 40, entities: 2, damage: [] })
    expect(await store.verify({ entity: 'a' })).toEqual({
      ok: true,
      events: 30,
      entities: 1,
      damage: [],
    })
    expect(await store.verify({ entity: 'none' })).toMatchObject({ ok: true, events: 0 })
  })

  test('tells its progress, and can be stopped', async () => {
    const store = await openStore(temporaryFolder(), { durability: 'none' })
    const payload = new Uint8Array(100_000)
    for (let i = 0; i < 300; i++) await store.append({ entity: `e${i}`, fact: 'f', payload })
    const shares: number[] = []
    await store.verify({ onProgress: ({ share }) => shares.push(share) })
    expect(shares.length).toBeGreaterThan(0)
    expect(shares.every((share) => share >= 0 && share <= 1)).toBe(true)
    expect([...shares].sort((a, b) => a - b)).toEqual(shares)
    const controller = new AbortController()
    const reason = new Error('stop')
    const stopped = store.verify({
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    })
    await expect(stopped).rejects.toBe(reason)
    await expect(store.verify({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  test('refuses unknown options', async () => {
    const store = await memoryStore()
    await rejectedArgument(() => store.verify({ entitiy: 'a' } as object), 'options.entitiy')
    await rejectedArgument(() => store.verify({ onProgress: 5 } as never), 'options.onProgress')
  })
})

describe('damage', () => {
  async function damagedStore() {
    const folder = temporaryFolder()
    const store = await openStore(folder)
    for (let i = 0; i < 5; i++) {
      await store.append({ entity: `e${i}`, fact: `f${i}`, payload: `MARK-${i}-`.repeat(50) })
    }
    await store.close()
    const file = segment(folder)
    const bytes = readFileSync(file)
    const at = bytes.indexOf('MARK-2-')
    expect(at).toBeGreaterThan(0)
    bytes[at] = (bytes[at] as number) ^ 1
    writeFileSync(file, bytes)
    const before = readFileSync(file)
    return { folder, file, before }
  }

  test('makes the store read-only, is reported, and is never cut off', async () => {
    const { folder, file, before } = await damagedStore()
    const store = await openStore(folder)
    const report = await store.verify()
    expect(report.ok).toBe(false)
    expect(report.damage[0]).toMatchObject({ segment: 1, positions: { from: 2 } })
    expect(store.readOnly).toBe(true)
    expect(store.damage).not.toEqual([])
    await rejected(() => store.append({ entity: 'x', fact: 'f' }), 'ERR_READ_ONLY')
    expect((await store.event(1))?.fact).toBe('f1')
    expect((await store.event(4))?.fact).toBe('f4')
    await rejected(() => store.event(2).then((event) => event?.payload), 'ERR_CORRUPT')
    await store.close()
    expect(readFileSync(file).subarray(0, before.length).equals(before)).toBe(true)
  })

  test('ends a scan that reaches it, with the next whole position', async () => {
    const { folder } = await damagedStore()
    const store = await openStore(folder)
    const seen: string[] = []
    const scan = async () => {
      for await (const event of store.all()) seen.push(event.fact)
    }
    const error = await rejected(scan, 'ERR_CORRUPT')
    expect(seen).toEqual(['f0', 'f1'])
    expect(error).toMatchObject({ damage: [{ positions: { from: 2, to: 2 } }] })
    expect(facts(await store.all({ from: 3 }).toArray())).toEqual(['f3', 'f4'])
  })
})
