// Arguments that are not what they seem: proxies, getters that throw, buffers that change or go away.
import { getEventListeners } from 'node:events'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { describe, expect, test, vi } from 'vitest'
import { type NewEvent, TetralogError } from '../../index.js'
import { refusedArgument, rejected, rejectedArgument } from '../helpers/refusals.js'
import {
  eventsOf,
  memoryStore,
  onEachBackend,
  openStore,
  temporaryFolder,
} from '../helpers/stores.js'

/** Like what it stands for, and counts how often each property is read. */
function watching<T extends object>(target: T, reads: Map<PropertyKey, number>): T {
  return new Proxy(target, {
    get(_, key) {
      reads.set(key, (reads.get(key) ?? 0) + 1)
      return Reflect.get(target, key) as unknown
    },
  })
}

/** Throws at whatever is done to it. */
function throwing(error: Error): object {
  const trap = () => {
    throw error
  }
  const traps = {
    get: trap,
    has: trap,
    ownKeys: trap,
    getOwnPropertyDescriptor: trap,
    getPrototypeOf: trap,
  }
  return new Proxy({}, traps)
}

type Resizable = ArrayBuffer & { resize(length: number): void }
type Sized<B> = new (length: number, options: { maxByteLength: number }) => B

// The types of ES2023 do not know them; Node 20 does.
const resizable = (length: number, maxByteLength: number): Resizable =>
  new (ArrayBuffer as unknown as Sized<Resizable>)(length, { maxByteLength })
const growable = (length: number, maxByteLength: number): SharedArrayBuffer =>
  new (SharedArrayBuffer as Sized<SharedArrayBuffer>)(length, { maxByteLength })

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

onEachBackend((make) => {
  describe('a proxy', () => {
    test('of an event, a list or options is as good as what it stands for, and read once', async () => {
      const store = await make()
      const reads = new Map<PropertyKey, number>()
      const event = watching({ entity: 'a', fact: 'f', payload: { deep: [1] }, tags: ['t'] }, reads)
      await store.append(new Proxy([event], {}), { expect: 'none' })
      for (const key of ['entity', 'fact', 'payload', 'tags']) expect(reads.get(key)).toBe(1)
      expect((await store.latest('a'))?.payload).toEqual({ deep: [1] })
      expect(
        await store
          .query(new Proxy({ tags: { all: ['t'] } }, {}), new Proxy({ limit: 1 }, {}))
          .count(),
      ).toBe(1)
    })

    test('that throws or is revoked is refused with its error as the cause, and writes nothing', async () => {
      const store = await make()
      const boom = new Error('boom')
      for (const hostile of [throwing(boom), revoked()]) {
        const event = hostile as NewEvent
        const calls: (() => unknown)[] = [
          () => store.append(event),
          () => store.append([{ entity: 'a', fact: 'f' }, event]),
          () => store.append(hostile as NewEvent[]),
          () => store.append({ entity: 'a', fact: 'f', payload: hostile }),
          () => store.append({ entity: 'a', fact: 'f', metadata: hostile }),
          () => store.append({ entity: 'a', fact: 'f', tags: hostile as string[] }),
          () => store.append({ entity: 'a', fact: 'f', clock: hostile as Date }),
          () => store.append({ entity: 'a', fact: 'f' }, hostile),
          () => store.append([], { expect: hostile as Record<string, 'none'> }),
          () => store.append([], { unless: hostile as { match: object } }),
          () => store.appendSync(event),
          () => store.query(hostile),
          () => store.query({ entity: hostile as { exact: string } }),
          () => store.query({ clock: hostile }),
          () => store.query().entity(hostile as { exact: string }),
          () => store.query().since(hostile as Date),
          () => store.query().signal(hostile as AbortSignal),
          () => store.all({ signal: hostile as AbortSignal }),
          () => store.all({ from: hostile as unknown as number }),
          () => store.all(hostile),
          () => store.stream('a', hostile),
          () => store.entities(hostile),
          () => store.verify(hostile),
          () => store.latest(hostile as unknown as string),
          () => store.event(hostile as unknown as number),
        ]
        for (const call of calls) {
          const error = await Promise.resolve()
            .then(call)
            .then(
              () => undefined,
              (error: unknown) => error,
            )
          expect(error, String(call)).toBeInstanceOf(TetralogError)
          expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', written: false })
        }
      }
      expect(await store.head()).toBe(-1)
      await store.append({ entity: 'a', fact: 'f' })
      expect(await store.head()).toBe(0)
    })
  })

  describe('bytes', () => {
    test('that a getter of the same append adds to its list are left out, and those it takes away are missed', async () => {
      const store = await memoryStore()
      for (const length of [20, 5000]) {
        const list: object[] = Array.from({ length }, (_, nth) => ({ entity: 'a', fact: `${nth}` }))
        list[0] = {
          entity: 'a',
          get fact() {
            list.push({ entity: 'a', fact: 'late' })
            return '0'
          },
        }
        expect((await store.append(list as NewEvent[])).count).toBe(length)
        list.length = length
        list[0] = {
          entity: 'a',
          get fact() {
            list.length = 10
            return '0'
          },
        }
        const argument = expect.stringMatching(/^events\[\d+\]$/)
        await expect(store.append(list as NewEvent[])).rejects.toMatchObject({ argument })
      }
    })

    test('that a getter of the same append changes are stored as they were when they were read', async () => {
      const store = await make()
      const bytes = Uint8Array.of(1, 2, 3)
      const changing = {
        entity: 'b',
        get fact() {
          bytes.fill(9)
          return 'f'
        },
      }
      await store.append([{ entity: 'a', fact: 'f', payload: bytes }, changing])
      expect((await store.latest('a'))?.payload).toEqual(Uint8Array.of(1, 2, 3))
    })

    test('that a getter of the same append takes away are refused, and nothing is written', async () => {
      const store = await make()
      const bytes = Uint8Array.of(1, 2, 3)
      const event = {
        entity: 'a',
        get fact() {
          structuredClone(bytes, { transfer: [bytes.buffer] })
          return 'f'
        },
        payload: bytes,
      }
      await rejectedArgument(() => store.append(event), 'events[0].payload')
      expect(await store.head()).toBe(-1)
    })

    test('of a buffer that was resized are those of its view, and refused if the view lies outside', async () => {
      const store = await make()
      const buffer = resizable(8, 16)
      const tracking = new Uint8Array(buffer)
      const fixed = new Uint8Array(buffer, 4, 4)
      tracking.fill(7)
      buffer.resize(12)
      await store.append({ entity: 'a', fact: 'f', payload: tracking })
      expect((await store.latest('a'))?.bytes()).toHaveLength(12)
      buffer.resize(2)
      await rejectedArgument(
        () => store.append({ entity: 'a', fact: 'f', payload: fixed }),
        'events[0].payload',
      )
      await rejectedArgument(
        () => store.append({ entity: 'a', fact: 'f', clock: fixed }),
        'events[0].clock',
      )
      refusedArgument(() => store.query().since(fixed), 'clock')
      await store.append({ entity: 'a', fact: 'f', payload: tracking })
      expect((await store.latest('a'))?.bytes()).toEqual(Uint8Array.of(7, 7))
    })

    test('of a large append that shrink while it is packed are refused as a whole', async () => {
      const store = await make()
      const buffer = resizable(3 << 20, 3 << 20)
      const appended = store.append({ entity: 'a', fact: 'f', payload: new Uint8Array(buffer) })
      buffer.resize(10)
      await rejectedArgument(() => appended, 'events[0].payload')
      expect(await store.head()).toBe(-1)
    })

    test('of shared memory that another thread writes to and lets grow are stored, of one length', async () => {
      const store = await make()
      const shared = growable(1 << 10, 64 << 10)
      const worker = new Worker(
        `const { workerData } = require('node:worker_threads')
        for (let i = 0; ; i++) {
          if (workerData.byteLength < workerData.maxByteLength) workerData.grow(workerData.byteLength + 64)
          new Uint8Array(workerData).fill(i)
        }`,
        { eval: true, workerData: shared },
      )
      try {
        for (let i = 0; i < 200; i++) {
          const payload = new Uint8Array(shared)
          const metadata = payload.subarray(0, 100)
          await store.append({ entity: 'a', fact: 'f', payload, metadata })
          const event = await store.latest('a')
          expect(event?.metadata).toHaveLength(100)
          expect((event?.bytes().length ?? 1) % 64).toBe(0)
        }
      } finally {
        await worker.terminate()
      }
      expect((await store.verify()).ok).toBe(true)
    })
  })

  describe('what was read', () => {
    test('cannot be taken away: a transfer of one event’s bytes leaves every event its own', async () => {
      const store = await make()
      const payload = new Uint8Array(100).fill(5)
      await store.append(['a', 'b', 'c'].map((entity) => ({ entity, fact: 'f', payload })))
      await store.append({ entity: 'large', fact: 'f', payload: new Uint8Array(400_000).fill(6) })
      const events = [
        ...(await Promise.all(['a', 'b', 'c'].map((entity) => store.latest(entity)))),
        ...(await store.all().toArray()),
        await store.event(3),
      ]
      const { port1, port2 } = new MessageChannel()
      for (const event of events) {
        const bytes = event?.bytes() as Uint8Array<ArrayBuffer>
        const { length } = bytes
        try {
          port1.postMessage(bytes, [bytes.buffer])
          expect(receiveMessageOnPort(port2)?.message).toHaveLength(length)
        } catch (error) {
          // From Node 21 on.
          expect(error).toMatchObject({ name: 'DataCloneError' })
        }
      }
      for (const event of events) expect([5, 6]).toContain(event?.bytes()[0])
      const detached = events[0]?.detach().bytes() as Uint8Array<ArrayBuffer>
      port1.postMessage(detached, [detached.buffer])
      expect(detached).toHaveLength(0)
      expect(receiveMessageOnPort(port2)?.message).toEqual(payload)
      port1.close()
    })
  })

  describe('a condition or an expectation', () => {
    test('about a position that is not there yet is refused with the head', async () => {
      const store = await make()
      const unless = (after: number) => ({ unless: { match: { entity: 'a' }, after } })
      await rejected(
        () => store.append({ entity: 'a', fact: 'f' }, unless(0)),
        'ERR_POSITION_AHEAD',
        {
          position: 0,
          head: -1,
        },
      )
      await store.append({ entity: 'a', fact: 'f' }, unless(-1))
      await store.append({ entity: 'a', fact: 'f' }, unless(0))
      const huge = Number.MAX_SAFE_INTEGER
      await rejected(() => store.append([], unless(huge)), 'ERR_POSITION_AHEAD', {
        position: huge,
        head: 1,
      })
      expect(await store.head()).toBe(1)
    })

    test('of no entity is refused: an append of nothing has none', async () => {
      const store = await make()
      for (const expected of ['none', 'exists', 0, -1] as const) {
        await rejectedArgument(() => store.append([], { expect: expected }), 'options.expect')
      }
      expect((await store.append([], { expect: 'any' })).count).toBe(0)
      await rejected(
        () => store.append([], { expect: { a: 'exists' } }),
        'ERR_WRONG_EXPECTED_VERSION',
      )
    })
  })
})

describe('one signal', () => {
  test('may be given to any number of reads at once: no warning, and all of them end by it', async () => {
    const warned = vi.fn()
    process.on('warning', warned)
    const store = await openStore(temporaryFolder(), { durability: 'none' })
    await store.append(eventsOf('a', 20_000))
    const abort = new AbortController()
    const { signal } = abort
    const reason = new Error('enough')
    const query = store.query({ fact: 'f7' }, { signal })
    const reads: Promise<unknown>[] = []
    for (let i = 0; i < 30; i++) reads.push(query.explain(), store.verify({ signal }))
    expect(getEventListeners(signal, 'abort').length).toBeLessThanOrEqual(1)
    const settled = Promise.allSettled(reads)
    abort.abort(reason)
    for (const read of await settled) expect(read).toEqual({ status: 'rejected', reason })
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', warned)
    expect(warned).not.toHaveBeenCalled()
  })

  test('that is aborted by one of those that wait for it still ends the others', async () => {
    const store = await memoryStore()
    await store.append(eventsOf('a', 1000))
    const abort = new AbortController()
    const { signal } = abort
    const counts = Array.from({ length: 5 }, () =>
      store.query({ fact: 'f7' }, { signal }).explain(),
    )
    counts[0]?.catch(() => abort.abort())
    abort.abort()
    for (const count of await Promise.allSettled(counts)) expect(count.status).toBe('rejected')
  })
})
