import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { clock, type Store } from '../../index.js'
import { rejected, rejectedArgument } from '../helpers/refusals.js'
import {
  eventsOf,
  facts,
  memoryStore,
  onEachBackend,
  openStore,
  positions,
  temporaryFolder,
} from '../helpers/stores.js'

const MIB = 1024 * 1024

onEachBackend((make) => {
  describe('an append', () => {
    test('gives positions and versions from 0, without gaps', async () => {
      const store = await make()
      expect(await store.append({ entity: 'a', fact: 'f' })).toEqual({
        position: 0,
        lastPosition: 0,
        version: 0,
        lastVersion: 0,
        count: 1,
        duplicate: false,
        versions: new Map([['a', 0]]),
      })
      expect(await store.append([...eventsOf('a', 2), ...eventsOf('b', 1)])).toEqual({
        position: 1,
        lastPosition: 3,
        version: 1,
        lastVersion: 0,
        count: 3,
        duplicate: false,
        versions: new Map([
          ['a', 2],
          ['b', 0],
        ]),
      })
      expect(positions(await store.all().toArray())).toEqual([0, 1, 2, 3])
      expect(await store.head()).toBe(3)
    })

    test('is all or nothing, over several entities too', async () => {
      const store = await make()
      await store.append(eventsOf('b', 1))
      await rejected(
        () =>
          store.append([
            { entity: 'a', fact: 'f' },
            { entity: 'b', fact: 'f', expect: 'none' },
          ]),
        'ERR_WRONG_EXPECTED_VERSION',
        { entity: 'b', expected: 'none', actual: 0, index: 1 },
      )
      expect(await store.version('a')).toBe(-1)
      expect(await store.head()).toBe(0)
    })

    test('of nothing writes nothing, and still checks its condition', async () => {
      const store = await make()
      const empty = {
        position: -1,
        lastPosition: -1,
        version: -1,
        lastVersion: -1,
        count: 0,
        duplicate: false,
        versions: new Map(),
      }
      expect(await store.append([])).toEqual(empty)
      expect(store.appendSync([])).toEqual(empty)
      await store.append({ entity: 'a', fact: 'f' })
      await rejected(
        () => store.append([], { unless: { match: { entity: 'a' } } }),
        'ERR_CONDITION_FAILED',
        { position: 0, index: 0 },
      )
      await rejected(
        () => store.append([], { expect: { a: 'none' } }),
        'ERR_WRONG_EXPECTED_VERSION',
      )
      expect(await store.head()).toBe(0)
    })

    test('settles in the order of the calls, refused ones among them', async () => {
      const store = await make()
      const settled: number[] = []
      const appends = Array.from({ length: 50 }, (_, i) =>
        store
          .append({ entity: 'a', fact: `f${i}` }, i % 5 === 4 ? { expect: 'none' } : undefined)
          .catch(() => {})
          .then(() => settled.push(i)),
      )
      await Promise.all(appends)
      expect(settled).toEqual(Array.from({ length: 50 }, (_, i) => i))
      expect(await store.version('a')).toBe(39)
    })

    test('has copied what it was given when it returns', async () => {
      const store = await make()
      const payload = Uint8Array.of(1, 2, 3)
      const at = Uint8Array.of(5)
      const tags = ['a']
      const event = { entity: 'e', fact: 'f', payload, clock: at, tags }
      const appended = store.append(event)
      payload.fill(0)
      at[0] = 0
      tags.push('b')
      event.fact = 'other'
      await appended
      const stored = await store.event(0)
      expect(stored?.bytes()).toEqual(Uint8Array.of(1, 2, 3))
      expect(stored?.clock).toEqual(Uint8Array.of(5))
      expect(stored?.tags).toEqual(['a'])
      expect(stored?.fact).toBe('f')
    })

    test('synchronously goes after what the tick has appended', async () => {
      const store = await make()
      const first = store.append({ entity: 'a', fact: 'one' })
      const second = store.appendSync({ entity: 'a', fact: 'two' }, { expect: 0 })
      expect(second.position).toBe(1)
      expect((await first).position).toBe(0)
      expect(facts(await store.all().toArray())).toEqual(['one', 'two'])
    })

    test('synchronously throws what it is refused with', async () => {
      const store = await make()
      expect(() => store.appendSync({ entity: 'a', fact: 'f' }, { expect: 3 })).toThrow(
        expect.objectContaining({ code: 'ERR_WRONG_EXPECTED_VERSION', actual: -1, expected: 3 }),
      )
      expect(await store.head()).toBe(-1)
    })

    test('is visible once it has resolved, and never before', async () => {
      const store = await make()
      for (let i = 0; i < 20; i++) {
        const { position } = await store.append({ entity: `e${i}`, fact: 'f' })
        expect((await store.event(position))?.entity).toBe(`e${i}`)
        expect((await store.latest(`e${i}`))?.position).toBe(position)
      }
    })

    test('may be stricter than the store, and not weaker', async () => {
      const strict = await openStore(temporaryFolder())
      await rejected(
        () => strict.append({ entity: 'a', fact: 'f' }, { durability: 'none' }),
        'ERR_INVALID_ARGUMENT',
      )
      expect(await strict.head()).toBe(-1)
      const weak = await openStore(temporaryFolder(), { durability: 'none' })
      await weak.append({ entity: 'a', fact: 'f' }, { durability: 'sync' })
      expect((await weak.stats()).syncedPosition).toBe(0)
    })
  })

  describe('expected versions', () => {
    const one = { entity: 'a', fact: 'f' }

    test.each(['any', 'none', 'exists', -1, 0, 1, 5] as const)('%s', async (expected) => {
      for (let version = -1; version <= 1; version++) {
        const store = await make()
        if (version >= 0) await store.append(eventsOf('a', version + 1))
        const holds =
          expected === 'any' ||
          (expected === 'exists'
            ? version >= 0
            : expected === 'none' || expected === -1
              ? version === -1
              : version === expected)
        const forms = [
          () => store.append(one, { expect: expected }),
          () => store.append(one, { expect: { a: expected } }),
          () => store.append({ ...one, expect: expected }),
        ]
        const form = forms[version + 1] as () => Promise<unknown>
        if (holds) await form()
        else {
          await rejected(form, 'ERR_WRONG_EXPECTED_VERSION', {
            entity: 'a',
            expected: expected === -1 ? 'none' : expected,
            actual: version,
            index: form === forms[2] ? 0 : undefined,
          })
        }
        expect(await store.version('a')).toBe(holds ? version + 1 : version)
      }
    })

    test('as the version of an entity without events are none', async () => {
      const store = await make()
      await store.append(one, { expect: await store.version('a') })
      await store.append(one, { expect: await store.version('a') })
      expect(await store.version('a')).toBe(1)
    })

    test('on an event count the events of the append before it', async () => {
      const store = await make()
      await store.append([
        { entity: 'a', fact: 'f', expect: 'none' },
        { entity: 'b', fact: 'f' },
        { entity: 'a', fact: 'f', expect: 0 },
        { entity: 'b', fact: 'f', expect: 'exists' },
      ])
      await rejected(
        () =>
          store.append([
            { entity: 'a', fact: 'f', expect: 1 },
            { entity: 'a', fact: 'f', expect: 1 },
          ]),
        'ERR_WRONG_EXPECTED_VERSION',
        { entity: 'a', expected: 1, actual: 2, index: 1 },
      )
    })

    test('by entity may name entities that the append does not write', async () => {
      const store = await make()
      await store.append({ entity: 'quota', fact: 'set' })
      await store.append(one, { expect: { quota: 0, a: 'none', other: 'none' } })
      await rejected(
        () => store.append(one, { expect: { quota: 1 } }),
        'ERR_WRONG_EXPECTED_VERSION',
        {
          entity: 'quota',
          expected: 1,
          actual: 0,
        },
      )
    })

    test('as one option for several entities are refused', async () => {
      const store = await make()
      await rejected(
        () => store.append([...eventsOf('a', 1), ...eventsOf('b', 1)], { expect: 'none' }),
        'ERR_INVALID_ARGUMENT',
      )
      await store.append(eventsOf('a', 2), { expect: 'none' })
    })

    test('judge what is in flight', async () => {
      const store = await make()
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, () => store.append(one, { expect: 'none' })),
      )
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(results[0]?.status).toBe('fulfilled')
      expect(await store.version('a')).toBe(0)
    })
  })

  describe('event ids', () => {
    const withIds = (entity: string, ids: readonly string[]) =>
      ids.map((id) => ({ entity, fact: 'f', id }))

    test('are made if left out: UUIDs of version 7, in order', async () => {
      const store = await make()
      await store.append(eventsOf('a', 3))
      const ids = (await store.all().toArray()).map(({ id }) => id)
      for (const id of ids)
        expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
      expect(new Set(ids).size).toBe(3)
    })

    test('are kept, in lower case', async () => {
      const store = await make()
      const id = randomUUID()
      await store.append({ entity: 'a', fact: 'f', id: id.toUpperCase() })
      expect((await store.latest('a'))?.id).toBe(id)
    })

    test('appended again give the original receipt, and nothing is written', async () => {
      const store = await make()
      const events = [
        ...withIds('a', [randomUUID(), randomUUID()]),
        ...withIds('b', [randomUUID()]),
      ]
      const original = await store.append(events, { expect: { a: 'none' } })
      await store.append(eventsOf('a', 5))
      const again = await store.append(events, { expect: { a: 'none' } })
      expect(again).toEqual({ ...original, duplicate: true })
      expect(store.appendSync(events)).toEqual({ ...original, duplicate: true })
      expect(await store.head()).toBe(7)
    })

    test('are compared alone: what else the retry says does not count', async () => {
      const store = await make()
      const id = randomUUID()
      await store.append({ entity: 'a', fact: 'f', id, payload: 1 })
      const again = await store.append({ entity: 'a', fact: 'other', id, payload: 2, expect: 9 })
      expect(again.duplicate).toBe(true)
      expect((await store.latest('a'))?.payload).toBe(1)
    })

    test('of which only some are stored, or in another order, conflict', async () => {
      const store = await make()
      const [x, y, z] = [randomUUID(), randomUUID(), randomUUID()]
      await store.append(withIds('a', [x, y]))
      for (const ids of [
        [x, z],
        [z, y],
        [y, x],
        [x, y, z],
        [z, x],
      ]) {
        await rejected(() => store.append(withIds('a', ids)), 'ERR_ID_CONFLICT', { entity: 'a' })
      }
      expect(await store.head()).toBe(1)
    })

    test('stored by two appends at consecutive positions are a retry of both together', async () => {
      const store = await make()
      const [x, y] = [randomUUID(), randomUUID()]
      await store.append(withIds('a', [x]))
      await store.append(withIds('a', [y]))
      expect(await store.append(withIds('a', [x, y]))).toMatchObject({
        duplicate: true,
        position: 0,
        lastPosition: 1,
      })
    })

    test('with another event between them conflict', async () => {
      const store = await make()
      const [x, y] = [randomUUID(), randomUUID()]
      await store.append(withIds('a', [x]))
      await store.append(eventsOf('b', 1))
      await store.append(withIds('a', [y]))
      await rejected(() => store.append(withIds('a', [x, y])), 'ERR_ID_CONFLICT')
    })

    test('are an entity’s own: the same id elsewhere is another event', async () => {
      const store = await make()
      const id = randomUUID()
      await store.append({ entity: 'a', fact: 'f', id })
      expect(await store.append({ entity: 'b', fact: 'f', id })).toMatchObject({
        duplicate: false,
        position: 1,
      })
    })

    test('twice in one append are refused', async () => {
      const store = await make()
      const id = randomUUID()
      const events = withIds('a', [id, id])
      await rejectedArgument(() => store.append(events), 'events[1].id')
      expect(await store.head()).toBe(-1)
    })

    test('retried while the first try is in flight are its duplicate', async () => {
      const store = await make()
      const event = { entity: 'a', fact: 'f', id: randomUUID() }
      const [first, second] = await Promise.all([store.append(event), store.append(event)])
      expect(second).toEqual({ ...first, duplicate: true })
    })

    test('are judged before expectations and conditions', async () => {
      const store = await make()
      const event = { entity: 'a', fact: 'f', id: randomUUID() }
      await store.append(event)
      const options = { expect: 'none' as const, unless: { match: { entity: 'a' } } }
      expect((await store.append(event, options)).duplicate).toBe(true)
      const other = { ...event, id: randomUUID() }
      await rejected(() => store.append(other, options), 'ERR_WRONG_EXPECTED_VERSION')
    })
  })

  describe('append conditions', () => {
    test('fail with the first conflicting position and their place', async () => {
      const store = await make()
      await store.append([
        { entity: 'a', fact: 'f', tags: ['email:x'] },
        { entity: 'b', fact: 'g', scope: 'org:acme/eng' },
        { entity: 'b', fact: 'g', scope: 'org:acme2' },
      ])
      const event = { entity: 'c', fact: 'f' }
      const conflict = (unless: object, position: number, index = 0) =>
        rejected(() => store.append(event, { unless: unless as never }), 'ERR_CONDITION_FAILED', {
          position,
          index,
        })
      await conflict({ match: { tags: { all: ['email:x'] } } }, 0)
      await conflict({ match: { entity: 'b' } }, 1)
      await conflict({ match: { entity: 'b' }, after: 1 }, 2)
      await conflict({ match: { scope: 'org:acme/*' }, after: -1 }, 1)
      await conflict({ match: [{ fact: 'none' }, { fact: 'g' }] }, 1)
      await conflict({ match: {} }, 0)
      await conflict([{ match: { entity: 'c' } }, { match: { entity: 'a' } }], 0, 1)
      await conflict({ match: store.query().fact('g') }, 1)
      expect(await store.head()).toBe(2)
      await store.append(event, { unless: { match: { entity: 'b' }, after: 2 } })
      await store.append(event, { unless: { match: [] } })
      await store.append(event, { unless: [{ match: { fact: [] } }, { match: { entity: 'zzz' } }] })
      expect(await store.head()).toBe(5)
    })

    test('judge what is in flight', async () => {
      const store = await make()
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, (_, i) =>
          store.append(
            { entity: `user:${i}`, fact: 'registered', tags: ['email:x'] },
            { unless: { match: { tags: { all: ['email:x'] } } } },
          ),
        ),
      )
      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        ...Array(9).fill('rejected'),
      ])
    })

    test('of a boundary hold until the answer changes', async () => {
      const store = await make()
      const query = store.query({ tags: { all: ['email:x'] } })
      const { events, head, unless } = await query.boundary()
      expect({ events, head }).toEqual({ events: [], head: -1 })
      await store.append({ entity: 'other', fact: 'f' }, { unless })
      await store.append({ entity: 'user:1', fact: 'f', tags: ['email:x'] }, { unless })
      await rejected(
        () => store.append({ entity: 'user:2', fact: 'f', tags: ['email:x'] }, { unless }),
        'ERR_CONDITION_FAILED',
        { position: 1 },
      )
      const next = await query.boundary()
      expect(positions(next.events)).toEqual([1])
      expect(next.head).toBe(1)
      await store.append(
        { entity: 'user:1', fact: 'g', tags: ['email:x'] },
        { unless: next.unless },
      )
    })

    test('with a window are refused', async () => {
      const store = await make()
      for (const query of [
        store.query().limit(5),
        store.query().after(3),
        store.query({}, { asOf: 1 }),
      ]) {
        await rejectedArgument(
          () => store.append([], { unless: { match: query } }),
          'options.unless.match',
        )
      }
      await store.append([], { unless: { match: store.query().orderBy('clock').entity('a') } })
    })
  })

  describe('values', () => {
    async function roundTrip(store: Store, event: object) {
      const { position } = await store.append({ entity: 'e', fact: 'f', ...event })
      return (await store.event(position)) as NonNullable<Awaited<ReturnType<Store['event']>>>
    }

    test('come back as they went in', async () => {
      const store = await make()
      for (const value of [
        'text',
        '',
        'ü😀\ufeff',
        null,
        0,
        -1.5,
        true,
        [],
        {},
        { a: [1, { b: null }], ü: '\u2028' },
        'x'.repeat(100_000),
        Array.from({ length: 1000 }, (_, i) => i),
      ]) {
        const event = await roundTrip(store, { payload: value, metadata: value })
        expect(event.payload).toEqual(value)
        expect(event.metadata).toEqual(value)
      }
      for (const bytes of [new Uint8Array(0), Uint8Array.of(0, 255), Buffer.from('x')]) {
        const event = await roundTrip(store, { payload: bytes, metadata: bytes })
        expect(event.payload).toEqual(new Uint8Array(bytes))
        expect(event.metadata).toEqual(new Uint8Array(bytes))
        expect(event.contentType).toBe('application/octet-stream')
      }
      const nothing = await roundTrip(store, {})
      expect(nothing.payload).toBeUndefined()
      expect(nothing.metadata).toBeUndefined()
      expect(nothing.contentType).toBe('')
    })

    test('in their coordinates are kept as they are, never normalised', async () => {
      const store = await make()
      const composed = '\u00fc'
      const decomposed = 'u\u0308'
      await store.append({ entity: composed, fact: composed, scope: composed })
      await store.append({ entity: decomposed, fact: decomposed, scope: decomposed })
      expect((await store.latest(composed))?.position).toBe(0)
      expect((await store.latest(decomposed))?.position).toBe(1)
      expect(await store.query({ fact: decomposed }).count()).toBe(1)
    })

    test('as tags are a set, sorted bytewise', async () => {
      const store = await make()
      const event = await roundTrip(store, { tags: ['b', 'ä', 'a', 'b', 'Z'] })
      expect(event.tags).toEqual(['Z', 'a', 'b', 'ä'])
    })

    test('as clocks are kept; left out, they are made strictly increasing', async () => {
      const store = await make()
      expect((await roundTrip(store, { clock: new Uint8Array(0) })).clock).toEqual(
        new Uint8Array(0),
      )
      expect((await roundTrip(store, { clock: new Uint8Array(64).fill(1) })).clock).toHaveLength(64)
      const date = new Date('2026-11-21T10:00:00.123Z')
      expect(clock.toDate((await roundTrip(store, { clock: date })).clock)).toEqual(date)
      const before = Date.now()
      await store.append(eventsOf('made', 100))
      const made = (await store.stream('made').toArray()).map((event) => clock.toNs(event.clock))
      for (const [i, ns] of made.entries())
        if (i > 0) expect(ns).toBeGreaterThan(made[i - 1] as bigint)
      expect(Number((made[0] as bigint) / 1_000_000n)).toBeGreaterThanOrEqual(before - 1)
    })

    test('of another content type are bytes, and a wrong one says so when read', async () => {
      const store = await make()
      const png = await roundTrip(store, { payload: Uint8Array.of(1), contentType: 'image/png' })
      expect(png.payload).toEqual(Uint8Array.of(1))
      const wrong = await roundTrip(store, {
        payload: Uint8Array.of(0x7b),
        contentType: 'application/json',
      })
      expect(() => wrong.payload).toThrow(
        expect.objectContaining({ code: 'ERR_PAYLOAD_DECODE', position: wrong.position }),
      )
      expect(wrong.bytes()).toEqual(Uint8Array.of(0x7b))
      expect(wrong.text()).toBe('{')
    })

    test('recorded by one append have one recorded time, never earlier than before', async () => {
      const store = await make()
      const before = Date.now() - 1
      for (let i = 0; i < 5; i++) await store.append(eventsOf('a', 3))
      const times = (await store.all().toArray()).map(({ recordedAtUs }) => recordedAtUs)
      expect([...times].sort((a, b) => a - b)).toEqual(times)
      for (let i = 0; i < 5; i++) expect(new Set(times.slice(i * 3, i * 3 + 3)).size).toBe(1)
      expect((await store.event(0))?.recordedAt.getTime()).toBeGreaterThanOrEqual(before)
    })
  })

  describe('limits', () => {
    const limit = (store: Store, event: object, argument: string, most: number, actual: number) =>
      rejected(() => store.append({ entity: 'e', fact: 'f', ...event }), 'ERR_LIMIT_EXCEEDED', {
        argument: `events[0].${argument}`,
        limit: most,
        actual,
      })

    test('of names are in bytes, and one past each is refused', async () => {
      const store = await make()
      for (const [field, most] of [
        ['entity', 1024],
        ['fact', 256],
        ['scope', 1024],
      ] as const) {
        const widest = 'ü'.repeat(most / 2)
        await store.append({ entity: 'e', fact: 'f', [field]: widest })
        await limit(store, { [field]: `${widest}x` }, field, most, most + 1)
      }
      expect(await store.head()).toBe(2)
    })

    test('of clocks, tags and content types', async () => {
      const store = await make()
      await store.append({ entity: 'e', fact: 'f', clock: new Uint8Array(64) })
      await limit(store, { clock: new Uint8Array(65) }, 'clock', 64, 65)
      const tags = Array.from({ length: 64 }, (_, i) => `t${i}`.padEnd(256, 'x'))
      await store.append({ entity: 'e', fact: 'f', tags })
      await limit(store, { tags: [...tags, 'one more'] }, 'tags', 64, 65)
      await limit(store, { tags: ['x'.repeat(257)] }, 'tags[0]', 256, 257)
      const contentType = 'x/'.padEnd(256, 'y')
      await store.append({ entity: 'e', fact: 'f', contentType, payload: new Uint8Array(1) })
      await limit(
        store,
        { contentType: `${contentType}y`, payload: new Uint8Array(1) },
        'contentType',
        256,
        257,
      )
      expect(await store.head()).toBe(2)
    })

    test('of payloads: 16 MiB unless told', async () => {
      const store = await make()
      await store.append({ entity: 'e', fact: 'f', payload: new Uint8Array(16 * MIB) })
      await limit(
        store,
        { payload: new Uint8Array(16 * MIB + 1) },
        'payload',
        16 * MIB,
        16 * MIB + 1,
      )
      expect((await store.latest('e'))?.bytes()).toHaveLength(16 * MIB)
      expect(await store.head()).toBe(0)
    })

    test('of an append: 65,536 events', async () => {
      const store = await make()
      const receipt = await store.append(eventsOf('e', 65_536))
      expect(receipt.lastVersion).toBe(65_535)
      await rejected(() => store.append(eventsOf('e', 65_537)), 'ERR_LIMIT_EXCEEDED', {
        argument: 'events',
        limit: 65_536,
        actual: 65_537,
      })
    })

    test('of an append: 64 MiB', async () => {
      const store = await make()
      const payload = new Uint8Array(15 * MIB)
      const five = Array.from({ length: 5 }, () => ({ entity: 'e', fact: 'f', payload }))
      await rejected(() => store.append(five), 'ERR_LIMIT_EXCEEDED')
      expect(await store.head()).toBe(-1)
      await store.append(five.slice(1))
      expect(await store.head()).toBe(3)
    })
  })

  describe('names that are refused', () => {
    const bad = (store: Store, event: object, argument: string) =>
      rejectedArgument(
        () => store.append({ entity: 'e', fact: 'f', ...event }),
        `events[0].${argument}`,
      )

    test('are empty, have a NUL, or end in *', async () => {
      const store = await make()
      await bad(store, { entity: '' }, 'entity')
      await bad(store, { fact: '' }, 'fact')
      await bad(store, { tags: [''] }, 'tags[0]')
      for (const field of ['entity', 'fact', 'scope']) await bad(store, { [field]: 'a\0b' }, field)
      await bad(store, { entity: 'user:*' }, 'entity')
      await bad(store, { scope: 'org/*' }, 'scope')
      expect(await store.head()).toBe(-1)
      await store.append({ entity: 'a*b', fact: '*', scope: '//a//b/' })
      expect((await store.latest('a*b'))?.scope).toBe('//a//b/')
    })
  })
})

test('payloads beyond a smaller limit are refused, and what is stored stays readable', async () => {
  const folder = temporaryFolder()
  const large = await openStore(folder)
  await large.append({ entity: 'e', fact: 'f', payload: new Uint8Array(1000) })
  await large.close()
  const small = await openStore(folder, { maxPayloadBytes: 10 })
  expect((await small.latest('e'))?.bytes()).toHaveLength(1000)
  await rejected(
    () => small.append({ entity: 'e', fact: 'f', payload: new Uint8Array(11) }),
    'ERR_LIMIT_EXCEEDED',
    { argument: 'events[0].payload', limit: 10, actual: 11 },
  )
  const memory = await memoryStore({ maxPayloadBytes: 10 })
  await rejected(
    () => memory.append({ entity: 'e', fact: 'f', payload: 'x'.repeat(11) }),
    'ERR_LIMIT_EXCEEDED',
  )
})

test('large appends are whole and in order, also when the store is synced or closed behind them', async () => {
  const folder = temporaryFolder()
  const many = Array.from({ length: 20_000 }, (_, i) => ({
    entity: `m${i % 7}`,
    fact: 'f',
    payload: i,
  }))
  const bytes = new Uint8Array(5 * MIB).map((_, i) => i % 251)
  const store = await openStore(folder)
  const receipts = [
    store.append(many),
    store.append({ entity: 'between', fact: 'f' }),
    store.append({ entity: 'large', fact: 'f', payload: bytes }),
  ]
  await store.sync()
  expect(await store.head()).toBe(20_001)
  const last = store.append(many, { expect: { large: 0, none: 'none' } })
  await store.close()
  expect((await Promise.all(receipts)).map(({ position }) => position)).toEqual([0, 20_000, 20_001])
  expect(await last).toMatchObject({ position: 20_002, lastPosition: 40_001 })
  const again = await openStore(folder)
  expect(await again.stream('m3').count()).toBe(2 * Math.ceil((20_000 - 3) / 7))
  expect(Buffer.compare((await again.latest('large'))?.payload as Uint8Array, bytes)).toBe(0)
  expect((await again.latest('m6'))?.payload).toBe(19_998)
})

test('more than may wait is refused, and nothing of it is written', async () => {
  const store = await openStore(temporaryFolder(), { maxInFlightBytes: MIB })
  const payload = new Uint8Array(600_000)
  const results = await Promise.allSettled(
    Array.from({ length: 5 }, () => store.append({ entity: 'e', fact: 'f', payload })),
  )
  const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  expect(refused.length).toBeGreaterThan(0)
  for (const { reason } of refused)
    expect(reason).toMatchObject({ code: 'ERR_OVERLOADED', written: false })
  expect(await store.version('e')).toBe(results.length - refused.length - 1)
  await store.append({ entity: 'e', fact: 'f', payload })
})
