import { beforeEach, describe, expect, test } from 'vitest'
import { clock, type Filter, type QueryOptions, type Store } from '../../index.js'
import { refusedArgument } from '../helpers/refusals.js'
import { onEachBackend, positions } from '../helpers/stores.js'

const at = (ms: number) => clock.fromMs(ms)

const EVENTS = [
  { entity: 'user:1', fact: 'created', scope: '', clock: at(50), tags: ['vip'] },
  { entity: 'user:2', fact: 'created', scope: 'org:acme', clock: at(10), tags: ['vip', 'new'] },
  { entity: 'user:1', fact: 'renamed', scope: 'org:acme/eng', clock: at(30), tags: ['new'] },
  { entity: 'users', fact: 'counted', scope: 'org:acme2', clock: at(20), tags: [] },
  { entity: 'order:1', fact: 'created', scope: 'org:acme/eng/a', clock: at(40), tags: ['x'] },
  { entity: 'user:2', fact: 'renamed', scope: 'org:other', clock: at(30), tags: ['vip'] },
  { entity: 'user:10', fact: 'created', scope: 'org:acme//b', clock: Uint8Array.of(1), tags: [] },
] as const

onEachBackend((make) => {
  let store: Store
  beforeEach(async () => {
    store = await make()
    await store.append(EVENTS)
  })

  const find = async (filter?: Filter | Filter[], options?: QueryOptions) =>
    positions(await store.query(filter, options).toArray())

  describe('a filter', () => {
    test('without coordinates is everything', async () => {
      expect(await find()).toEqual([0, 1, 2, 3, 4, 5, 6])
      expect(await find({})).toEqual([0, 1, 2, 3, 4, 5, 6])
    })

    test('takes entities as names and as prefixes', async () => {
      expect(await find({ entity: 'user:1' })).toEqual([0, 2])
      expect(await find({ entity: 'user:*' })).toEqual([0, 1, 2, 5, 6])
      expect(await find({ entity: 'user*' })).toEqual([0, 1, 2, 3, 5, 6])
      expect(await find({ entity: '*' })).toEqual([0, 1, 2, 3, 4, 5, 6])
      expect(await find({ entity: ['order:1', 'users'] })).toEqual([3, 4])
      expect(await find({ entity: { prefix: 'user:1' } })).toEqual([0, 2, 6])
      expect(await find({ entity: { exact: 'user:*' } })).toEqual([])
      expect(await find({ entity: { prefix: 'user:*' } })).toEqual([])
    })

    test('takes a scope as exactly that, or with everything below it', async () => {
      expect(await find({ scope: 'org:acme' })).toEqual([1])
      expect(await find({ scope: 'org:acme/*' })).toEqual([1, 2, 4, 6])
      expect(await find({ scope: 'org:acme/eng/*' })).toEqual([2, 4])
      expect(await find({ scope: '' })).toEqual([0])
      expect(await find({ scope: '*' })).toEqual([0, 1, 2, 3, 4, 5, 6])
      expect(await find({ scope: ['org:other', 'org:acme2'] })).toEqual([3, 5])
      expect(await find({ scope: { exact: 'org:acme/*' } })).toEqual([])
    })

    test('takes facts literally', async () => {
      expect(await find({ fact: 'created' })).toEqual([0, 1, 4, 6])
      expect(await find({ fact: ['renamed', 'counted'] })).toEqual([2, 3, 5])
      expect(await find({ fact: '*' })).toEqual([])
    })

    test('takes tags: any of, all of, and both', async () => {
      expect(await find({ tags: { any: ['vip', 'x'] } })).toEqual([0, 1, 4, 5])
      expect(await find({ tags: { all: ['vip', 'new'] } })).toEqual([1])
      expect(await find({ tags: { all: ['vip'], any: ['new', 'x'] } })).toEqual([1])
      expect(await find({ tags: { all: ['none'] } })).toEqual([])
    })

    test('takes clocks in a range, to inclusive and before not', async () => {
      expect(await find({ clock: { from: at(30) } })).toEqual([0, 2, 4, 5, 6])
      expect(await find({ clock: { from: at(20), to: at(30) } })).toEqual([2, 3, 5])
      expect(await find({ clock: { from: at(20), before: at(30) } })).toEqual([3])
      expect(await find({ clock: { to: new Date(10) } })).toEqual([1])
      expect(await find({ clock: { from: at(40), to: at(20) } })).toEqual([])
      expect(await find({ clock: { from: Uint8Array.of(1) } })).toEqual([6])
    })

    test('holds if every coordinate does', async () => {
      expect(await find({ entity: 'user:*', fact: 'created', scope: 'org:acme/*' })).toEqual([1, 6])
      expect(
        await find({ fact: 'renamed', tags: { all: ['vip'] }, clock: { to: at(30) } }),
      ).toEqual([5])
    })

    test('in a list is one of several, each event once', async () => {
      expect(await find([{ fact: 'created' }, { entity: 'user:1' }])).toEqual([0, 1, 2, 4, 6])
      expect(await find([{}, {}])).toEqual([0, 1, 2, 3, 4, 5, 6])
    })

    test('with an empty list matches nothing', async () => {
      expect(await find([])).toEqual([])
      for (const filter of [
        { entity: [] },
        { fact: [] },
        { scope: [] },
        { tags: { any: [] } },
        { tags: { all: [] } },
      ]) {
        expect(await find(filter)).toEqual([])
        expect(await store.query(filter).count()).toBe(0)
      }
    })

    test('with a coordinate that is undefined is refused', () => {
      const tenant: string | undefined = undefined
      refusedArgument(() => store.query({ scope: tenant } as unknown as Filter), 'filter.scope')
      refusedArgument(() => store.query(null as unknown as Filter), 'filter')
    })
  })

  describe('order and window', () => {
    test('by clock is by clock and then position, in both directions', async () => {
      const forwards = [1, 3, 2, 5, 4, 0, 6]
      expect(await find({}, { orderBy: 'clock' })).toEqual(forwards)
      expect(await find({}, { orderBy: 'clock', backwards: true })).toEqual([...forwards].reverse())
      expect(await find({ fact: 'created' }, { orderBy: 'clock' })).toEqual([1, 4, 0, 6])
      expect(await find({}, { orderBy: 'clock', limit: 2 })).toEqual([1, 3])
    })

    test('by clock pages with positions as well', async () => {
      for (const backwards of [false, true]) {
        const all = await find({}, { orderBy: 'clock', backwards })
        const seen: number[] = []
        let after = -1
        for (let i = 0; i < 10 && seen.length < all.length; i++) {
          const page = await find({}, { orderBy: 'clock', backwards, after, limit: 2 })
          seen.push(...page)
          after = page.at(-1) ?? after
        }
        expect(seen).toEqual(all)
        expect(await find({}, { orderBy: 'clock', from: all[2] as number, backwards })).toEqual(
          all.slice(2),
        )
      }
    })

    test('applies to what the filter leaves', async () => {
      expect(await find({ fact: 'created' }, { after: 1 })).toEqual([4, 6])
      expect(await find({ fact: 'created' }, { from: 1, limit: 2 })).toEqual([1, 4])
      expect(await find({ fact: 'created' }, { backwards: true, after: 4 })).toEqual([1, 0])
      expect(await find({ fact: 'created' }, { asOf: 4 })).toEqual([0, 1, 4])
      expect(await find({ fact: 'created' }, { after: 2, backwards: true, limit: 1 })).toEqual([1])
    })
  })

  describe('the builder', () => {
    test('finds what the filter finds', async () => {
      const query = store.query().fact('created').entity('user:*').scope('org:acme/*')
      expect(positions(await query.toArray())).toEqual([1, 6])
      expect(positions(await query.tagged('new').tagged('vip').toArray())).toEqual([1])
      expect(positions(await store.query().since(at(40)).until(at(50)).toArray())).toEqual([0, 4])
      expect(positions(await store.query().taggedAny('x', 'new').toArray())).toEqual([1, 2, 4])
      expect(positions(await store.query().orderBy('clock').limit(2).toArray())).toEqual([1, 3])
      expect(positions(await store.query().backwards().after(5).limit(2).toArray())).toEqual([4, 3])
      expect((await store.query().asOf(3).backwards().first())?.position).toBe(3)
      expect(await query.count()).toBe(2)
    })

    test('explains how it would be answered', async () => {
      const { plan, recordsTouched } = await store.query({ fact: 'counted' }).explain()
      expect(plan).toEqual(expect.any(String))
      expect(recordsTouched).toBeGreaterThanOrEqual(0)
      expect(recordsTouched).toBeLessThanOrEqual(EVENTS.length)
    })

    test('gives a boundary at one head', async () => {
      const { events, head, unless } = await store.query().fact('created').boundary()
      expect(positions(events)).toEqual([0, 1, 4, 6])
      expect(head).toBe(6)
      await store.append({ entity: 'user:3', fact: 'renamed' }, { unless })
      await store.append({ entity: 'user:3', fact: 'created' }, { unless })
      await expect(store.append({ entity: 'user:4', fact: 'x' }, { unless })).rejects.toMatchObject(
        {
          code: 'ERR_CONDITION_FAILED',
          position: 8,
        },
      )
    })
  })
})
