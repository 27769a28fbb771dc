import { inspect } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import type { RecordedEvent, Store } from '../../index.js'
import { refusedArgument, rejected, rejectedArgument } from '../helpers/refusals.js'
import { eventsOf, onEachBackend, positions, versions } from '../helpers/stores.js'

const MIB = 1024 * 1024

onEachBackend((make) => {
  let store: Store
  beforeEach(async () => {
    store = await make()
  })

  describe('an entity without events', () => {
    test('has no events, no latest one, and version -1', async () => {
      expect(await store.stream('a').toArray()).toEqual([])
      expect(await store.stream('a', { backwards: true }).first()).toBeUndefined()
      expect(await store.latest('a')).toBeUndefined()
      expect(await store.version('a')).toBe(-1)
      expect(await store.exists('a')).toBe(false)
      expect(await store.stream('a').count()).toBe(0)
    })
  })

  describe('an empty store', () => {
    test('has head -1 and gives nothing', async () => {
      expect(await store.head()).toBe(-1)
      expect(await store.event(0)).toBeUndefined()
      expect(await store.all().toArray()).toEqual([])
      expect(await store.all({ after: -1, asOf: -1, backwards: true }).count()).toBe(0)
      expect(await store.query().toArray()).toEqual([])
      expect(await store.entities().toArray()).toEqual([])
    })
  })

  describe('a window', () => {
    const read = async (options: object) => positions(await store.all(options).toArray())

    beforeEach(async () => {
      await store.append([...eventsOf('x', 3), ...eventsOf('a', 5), ...eventsOf('y', 2)])
    })

    test('starts at from, or after after, in reading order', async () => {
      expect(await read({ from: 7 })).toEqual([7, 8, 9])
      expect(await read({ after: 7 })).toEqual([8, 9])
      expect(await read({ after: -1, limit: 2 })).toEqual([0, 1])
      expect(await read({ from: 2, backwards: true })).toEqual([2, 1, 0])
      expect(await read({ after: 2, backwards: true })).toEqual([1, 0])
      expect(await read({ after: -1, backwards: true, limit: 2 })).toEqual([9, 8])
      expect(await read({ backwards: true, limit: 3 })).toEqual([9, 8, 7])
    })

    test('beyond the head gives nothing, or all of it backwards', async () => {
      expect(await read({ from: 10 })).toEqual([])
      expect(await read({ after: 9 })).toEqual([])
      expect(await read({ from: Number.MAX_SAFE_INTEGER })).toEqual([])
      expect(await read({ from: 100, backwards: true, limit: 2 })).toEqual([9, 8])
      expect(await read({ after: 0, backwards: true })).toEqual([])
    })

    test('ends with asOf', async () => {
      expect(await read({ asOf: 3 })).toEqual([0, 1, 2, 3])
      expect(await read({ asOf: 3, backwards: true, limit: 1 })).toEqual([3])
      expect(await read({ from: 3, asOf: 2 })).toEqual([])
      expect(await read({ asOf: -1 })).toEqual([])
      expect(versions(await store.stream('a', { asOf: 4 }).toArray())).toEqual([0, 1])
      await rejected(() => read({ asOf: 10 }), 'ERR_POSITION_AHEAD', { position: 10, head: 9 })
    })

    test('of a stream is in versions', async () => {
      const stream = async (options: object) => versions(await store.stream('a', options).toArray())
      expect(await stream({})).toEqual([0, 1, 2, 3, 4])
      expect(await stream({ from: 3 })).toEqual([3, 4])
      expect(await stream({ after: 3 })).toEqual([4])
      expect(await stream({ from: 1, backwards: true })).toEqual([1, 0])
      expect(await stream({ after: 1, backwards: true })).toEqual([0])
      expect(await stream({ backwards: true, limit: 2 })).toEqual([4, 3])
      expect(await stream({ from: 5 })).toEqual([])
      expect(await stream({ limit: 0 })).toEqual([])
      expect(await store.stream('a', { from: 2 }).count()).toBe(3)
      expect((await store.stream('a', { from: 2 }).first())?.version).toBe(2)
    })

    test('pages through everything, in either direction', async () => {
      for (const backwards of [false, true]) {
        const seen: number[] = []
        let after = -1
        for (;;) {
          const page = await read({ after, limit: 3, backwards })
          if (page.length === 0) break
          seen.push(...page)
          after = page.at(-1) as number
          if (backwards && after === 0) break
        }
        const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        expect(seen).toEqual(backwards ? all.reverse() : all)
      }
    })

    test('counts and firsts what it reads', async () => {
      expect(await store.all({ after: 3, limit: 4 }).count()).toBe(4)
      expect(await store.all({ limit: 0 }).count()).toBe(0)
      expect((await store.all({ backwards: true }).first())?.position).toBe(9)
    })
  })

  describe('a read', () => {
    test('ends at the head of its first pull, whatever is appended meanwhile', async () => {
      await store.append(eventsOf('a', 3))
      const reading = store.all()
      await store.append(eventsOf('a', 1, 3))
      const seen: number[] = []
      for await (const event of reading) {
        seen.push(event.position)
        await store.append(eventsOf('a', 1))
      }
      expect(seen).toEqual([0, 1, 2, 3])
      expect(await reading.count()).toBe(8)
    })

    test('of many megabytes comes in batches, and all of it', async () => {
      const payload = new Uint8Array(100_000)
      for (let i = 0; i < 40; i++) await store.append({ entity: `e${i % 2}`, fact: 'f', payload })
      const lengths: number[] = []
      const seen: number[] = []
      for await (const events of store.all().batches()) {
        lengths.push(events.length)
        seen.push(...positions(events))
      }
      expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i))
      expect(lengths.length).toBeGreaterThan(1)
      expect(lengths.every((length) => length > 0)).toBe(true)
      expect(await store.stream('e1').count()).toBe(20)
      expect(versions(await store.stream('e1', { backwards: true }).toArray())[0]).toBe(19)
    })

    test('of an event larger than a batch has it', async () => {
      await store.append({ entity: 'e', fact: 'f', payload: new Uint8Array(5 * MIB).fill(7) })
      await store.append({ entity: 'e', fact: 'g' })
      const [large, small] = await store.all().toArray()
      expect(large?.bytes()).toHaveLength(5 * MIB)
      expect(small?.fact).toBe('g')
    })

    test('can be left with break, and aborted with its reason', async () => {
      await store.append(eventsOf('a', 10))
      let count = 0
      for await (const _ of store.all()) if (++count === 3) break
      expect(count).toBe(3)
      const controller = new AbortController()
      const reason = new Error('enough')
      const loop = async () => {
        for await (const event of store.all({ signal: controller.signal })) {
          if (event.position === 2) controller.abort(reason)
          if (event.position > 2) expect.unreachable()
        }
      }
      await expect(loop()).rejects.toBe(reason)
      await expect(store.query({}, { signal: AbortSignal.abort(reason) }).toArray()).rejects.toBe(
        reason,
      )
      await expect(store.entities({ signal: AbortSignal.abort(reason) }).first()).rejects.toBe(
        reason,
      )
    })
  })

  describe('point reads', () => {
    beforeEach(async () => {
      await store.append([...eventsOf('a', 2), ...eventsOf('b', 1)])
    })

    test('give the event at a position, and nothing beyond the head', async () => {
      expect((await store.event(1))?.fact).toBe('f1')
      expect(await store.event(3)).toBeUndefined()
      expect(await store.event(Number.MAX_SAFE_INTEGER)).toBeUndefined()
    })

    test('of any size keep their events whole beside one another', async () => {
      const sizes = [0, 1, 300, 9000, 300, 40_000, 8000, 300_000, 17]
      const payload = (nth: number) => new Uint8Array(sizes[nth] as number).fill(nth)
      for (const nth of sizes.keys()) {
        await store.append({ entity: `of:${nth}`, fact: 'f', tags: ['t'], payload: payload(nth) })
      }
      const found = await Promise.all(sizes.map((_, nth) => store.latest(`of:${nth}`)))
      for (const [nth, event] of found.entries()) {
        expect(event?.entity).toBe(`of:${nth}`)
        expect(event?.tags).toEqual(['t'])
        expect(Buffer.compare(event?.bytes() as Uint8Array, payload(nth))).toBe(0)
        const same = await store.event(event?.position as number)
        expect(same?.id).toBe(event?.id)
        expect(same?.link).toEqual(event?.link)
      }
    })

    test('give the latest event and the version of an entity', async () => {
      expect((await store.latest('a'))?.version).toBe(1)
      expect(await store.version('a')).toBe(1)
      expect(await store.exists('b')).toBe(true)
    })

    test('take names literally', async () => {
      expect(await store.latest('*')).toBeUndefined()
      expect(await store.version('a*')).toBe(-1)
      expect(await store.exists('*')).toBe(false)
      expect(await store.stream('*').count()).toBe(0)
    })

    test('reject what is no position and no name', async () => {
      for (const position of [-1, 1.5, Number.NaN, '1', null, undefined, 2 ** 53]) {
        await rejectedArgument(() => store.event(position as number), 'position')
      }
      for (const name of [null, undefined, 5, '\ud800']) {
        await rejectedArgument(() => store.latest(name as string), 'entity')
        await rejectedArgument(() => store.version(name as string), 'entity')
        await rejectedArgument(() => store.exists(name as string), 'entity')
        refusedArgument(() => store.stream(name as string), 'entity')
      }
    })
  })

  describe('an event', () => {
    test('is linked to the one before it in its entity, however it is read', async () => {
      await store.append([...eventsOf('a', 1), ...eventsOf('b', 1), ...eventsOf('a', 2, 1)])
      const events = await store.stream('a').toArray()
      expect(events[0]?.previousLink).toEqual(new Uint8Array(32))
      expect(events[1]?.previousLink).toEqual(events[0]?.link)
      expect(events[2]?.previousLink).toEqual(events[1]?.link)
      expect((await store.latest('a'))?.previousLink).toEqual(events[1]?.link)
      expect((await store.event(2))?.previousLink).toEqual(events[0]?.link)
      const [late] = await store.all({ from: 3 }).toArray()
      expect(late?.previousLink).toEqual(events[1]?.link)
      expect(new Set(events.map(({ link }) => Buffer.from(link).toString('hex'))).size).toBe(3)
    })

    test('stays valid after the store is closed', async () => {
      await store.append([
        { entity: 'a', fact: 'f', payload: { a: 1 } },
        { entity: 'a', fact: 'g' },
      ])
      const events: RecordedEvent[] = []
      for await (const event of store.all()) events.push(event)
      const copy = events[1]?.detach()
      await store.close()
      expect(events[0]?.payload).toEqual({ a: 1 })
      expect(events[1]?.previousLink).toEqual(events[0]?.link)
      expect(copy?.toJSON()).toEqual(events[1]?.toJSON())
    })

    test('shows itself', async () => {
      await store.append({ entity: 'a', fact: 'f', payload: { total: 3 } })
      expect(inspect(await store.event(0))).toContain('total: 3')
      expect(inspect(store)).toContain(store.id)
    })
  })

  describe('entities', () => {
    beforeEach(async () => {
      await store.append(['b', 'a', 'ab', 'ä', 'Z', 'a'].map((entity) => ({ entity, fact: 'f' })))
    })
    const names = async (options?: object) =>
      (await store.entities(options).toArray()).map(({ entity }) => entity)

    test('come in bytewise order, with their newest version and position', async () => {
      expect(await store.entities().toArray()).toEqual([
        { entity: 'Z', version: 0, position: 4 },
        { entity: 'a', version: 1, position: 5 },
        { entity: 'ab', version: 0, position: 2 },
        { entity: 'b', version: 0, position: 0 },
        { entity: 'ä', version: 0, position: 3 },
      ])
      expect(await store.entities().count()).toBe(5)
      expect((await store.entities().first())?.entity).toBe('Z')
    })

    test('can be narrowed by prefix, and paged', async () => {
      expect(await names({ prefix: 'a' })).toEqual(['a', 'ab'])
      expect(await names({ after: 'a' })).toEqual(['ab', 'b', 'ä'])
      expect(await names({ after: 'aa', limit: 1 })).toEqual(['ab'])
      expect(await names({ prefix: 'a', after: 'a' })).toEqual(['ab'])
      expect(await names({ limit: 0 })).toEqual([])
      expect(await names({ prefix: 'none' })).toEqual([])
    })

    test('are described with known options only', () => {
      refusedArgument(() => store.entities({ prefx: 'a' } as object), 'options.prefx')
      refusedArgument(() => store.entities({ limit: -1 }), 'options.limit')
      refusedArgument(() => store.entities({ prefix: 5 } as object), 'options.prefix')
    })
  })
})
