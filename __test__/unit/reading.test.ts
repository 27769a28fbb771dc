import { getEventListeners } from 'node:events'
import { setImmediate as immediate } from 'node:timers/promises'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { decodeEvents } from '../../src/event.js'
import { EVERYTHING } from '../../src/filter.js'
import { LogQuery } from '../../src/query.js'
import { PlainReading } from '../../src/reading.js'
import { Session } from '../../src/session.js'
import type { RecordedEvent } from '../../src/types.js'
import { allSpec, type Window } from '../../src/window.js'
import { FakeNative, FakeRead, nativeError } from '../helpers/fake-native.js'
import { packBatch, readSpec } from '../helpers/packed.js'
import { refusedArgument, rejected, rejectedArgument } from '../helpers/refusals.js'

let native: FakeNative
let session: Session

// In a turn of its own, so that its reads begin at once.
beforeEach(async () => {
  await new Promise(setImmediate)
  native = new FakeNative()
  session = new Session(native.asStore())
})

const batch = (...positions: number[]) => packBatch(positions.map((position) => ({ position })))

function reading(window: Window = {}): PlainReading<RecordedEvent> {
  return new PlainReading({
    session,
    limit: window.limit,
    signal: window.signal,
    spec: (limit) => allSpec(window, limit),
    decode: decodeEvents,
  })
}

const position = ({ position }: RecordedEvent) => position
const lastRead = () => native.reads.at(-1) as FakeRead

describe('a reading', () => {
  test('reads nothing before its first pull, and each loop is a read of its own', async () => {
    const events = reading()
    expect(native.reads).toHaveLength(0)
    for (let i = 1; i <= 2; i++) {
      native.answers.push([batch(0, 1), batch(2), null])
      const seen: number[] = []
      for await (const event of events) seen.push(event.position)
      expect(seen).toEqual([0, 1, 2])
      expect(native.reads).toHaveLength(i)
      expect(lastRead().cancelled).toBe(1)
    }
  })

  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)
  const holdThread = (ms: number) => {
    for (const until = performance.now() + ms; performance.now() < until; );
  }

  test.each([
    ['one by one', (events: PlainReading<RecordedEvent>) => events, 1500],
    ['in batches', (events: PlainReading<RecordedEvent>) => events.batches(), 5000],
  ])('of a long batch %s lets the loop have its turn if it takes long', async (_, loop, count) => {
    native.answers.push([batch(...numbers(count)), null])
    let turns = 0
    let wanted = true
    const turn = (): void => {
      turns++
      if (wanted) setImmediate(turn)
    }
    const seen: number[] = []
    for await (const given of loop(reading())) {
      if (seen.length === 0) setImmediate(turn)
      const events = [given].flat() as RecordedEvent[]
      seen.push(...events.map(position))
      holdThread(events.length / 400)
    }
    wanted = false
    expect(turns).toBeGreaterThan(0)
    expect(seen).toEqual(numbers(count))
  })

  test('ends with its signal, or the store, between two parts of a batch', async () => {
    const controller = new AbortController()
    native.answers.push([batch(...numbers(1000)), null])
    let seen = 0
    const looping = (async () => {
      for await (const _ of reading({ signal: controller.signal })) {
        if (++seen === 512) controller.abort(new Error('enough'))
      }
    })()
    await expect(looping).rejects.toThrow('enough')
    expect(seen).toBe(512)
    native.answers.push([batch(...numbers(1000)), null])
    const batches = reading().toArray()
    session.close()
    await rejected(() => batches, 'ERR_CLOSED')
  })

  test('gives its batches as arrays', async () => {
    native.answers.push([batch(0, 1), batch(2), null])
    const seen: number[][] = []
    for await (const events of reading().batches()) seen.push(events.map(position))
    expect(seen).toEqual([[0, 1], [2]])
  })

  test('gives all of it, the first, and its count', async () => {
    native.answers.push([batch(0, 1), batch(2), null], [batch(0)])
    expect((await reading().toArray()).map(position)).toEqual([0, 1, 2])
    expect((await reading({ limit: 9 }).first())?.position).toBe(0)
    expect(readSpec(native.specs.at(-1) as Buffer).limit).toBe(1)
    expect(await reading().count()).toBe(5)
    native.countsAtOnce.push(7)
    expect(await reading().count()).toBe(7)
    expect(native.reads.every(({ cancelled }) => cancelled === 1)).toBe(true)
  })

  test('asks for one batch ahead, and for no more', async () => {
    native.answers.push([batch(0), batch(1), batch(2), null])
    const iterator = reading()[Symbol.asyncIterator]()
    await iterator.next()
    await immediate()
    expect(lastRead().calls).toBe(2)
    await iterator.next()
    await immediate()
    expect(lastRead().calls).toBe(3)
  })

  test('asks for nothing beyond its limit', async () => {
    native.answers.push([batch(0, 1)], [batch(0, 1)])
    expect(await reading({ limit: 2 }).toArray()).toHaveLength(2)
    expect(lastRead()).toMatchObject({ calls: 1, cancelled: 1 })
    const controller = new AbortController()
    const iterator = reading({ limit: 2, signal: controller.signal })[Symbol.asyncIterator]()
    await iterator.next()
    controller.abort('stop')
    await expect(iterator.next()).rejects.toBe('stop')
  })

  test('with limit 0 gives nothing, without a native call', async () => {
    const none = reading({ limit: 0 })
    expect(await none.toArray()).toEqual([])
    expect(await none.first()).toBeUndefined()
    expect(await none.count()).toBe(0)
    for await (const _ of none) expect.unreachable()
    for await (const _ of none.batches()) expect.unreachable()
    expect(native.reads).toHaveLength(0)
  })

  test('is cancelled by break', async () => {
    native.answers.push([batch(0, 1, 2), batch(3)])
    for await (const event of reading()) if (event.position === 1) break
    expect(lastRead().cancelled).toBe(1)
    native.answers.push([batch(0, 1, 2)])
    const iterator = reading()[Symbol.asyncIterator]()
    await iterator.next()
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined })
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  test('answers calls of next() that overlap, in their order', async () => {
    native.answers.push([batch(0), batch(1, 2), null])
    const events = reading()[Symbol.asyncIterator]()
    const results = await Promise.all([1, 2, 3, 4, 5].map(() => events.next()))
    expect(results.map(({ value }) => value?.position)).toEqual([0, 1, 2, undefined, undefined])
    native.answers.push([batch(0), batch(1, 2), null])
    const batches = reading().batches()[Symbol.asyncIterator]()
    const lists = await Promise.all([1, 2, 3, 4].map(() => batches.next()))
    expect(lists.map(({ value }) => value?.length)).toEqual([1, 2, undefined, undefined])
  })

  test('ends with an error in the middle, once', async () => {
    const corrupt = { code: 'ERR_CORRUPT', damage: [] }
    native.answers.push([batch(0), nativeError(corrupt)])
    const iterator = reading()[Symbol.asyncIterator]()
    expect((await iterator.next()).value?.position).toBe(0)
    await rejected(() => iterator.next(), 'ERR_CORRUPT')
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
    native.answers.push([batch(0), nativeError(corrupt)])
    await rejected(() => reading().toArray(), 'ERR_CORRUPT')
  })

  test('whose next batch fails when nobody asks for it leaves no unhandled rejection', async () => {
    native.answers.push([batch(0), nativeError({ code: 'ERR_IO' })])
    for await (const _ of reading()) break
    await immediate()
  })

  test('that is refused by the engine rejects', async () => {
    native.read = () => {
      throw nativeError({ code: 'ERR_POSITION_AHEAD', position: 9, head: 1 })
    }
    await rejected(() => reading().toArray(), 'ERR_POSITION_AHEAD', { position: 9, head: 1 })
    await rejected(() => reading().count(), 'ERR_POSITION_AHEAD')
    const iterator = reading()[Symbol.asyncIterator]()
    await rejected(() => iterator.next(), 'ERR_POSITION_AHEAD')
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })
})

describe('a reading that is answered at once', () => {
  const last = (...positions: number[]) =>
    packBatch(
      positions.map((position) => ({ position })),
      { last: true },
    )

  test('needs no other call, however it is read', async () => {
    for (let i = 0; i < 4; i++) native.atOnce.push(last(0, 1))
    expect((await reading().toArray()).map(position)).toEqual([0, 1])
    expect((await reading().first())?.position).toBe(0)
    const seen: number[] = []
    for await (const event of reading()) seen.push(event.position)
    for await (const events of reading().batches()) seen.push(...events.map(position))
    expect(seen).toEqual([0, 1, 0, 1])
    expect(native.reads).toHaveLength(0)
  })

  test('and has nothing ends', async () => {
    native.atOnce.push(last(), last())
    expect(await reading().toArray()).toEqual([])
    expect(await reading().first()).toBeUndefined()
    expect(native.reads).toHaveLength(0)
  })

  test('goes on with the rest of it', async () => {
    native.atOnce.push(batch(0, 1))
    native.answers.push([last(2)])
    expect((await reading().toArray()).map(position)).toEqual([0, 1, 2])
    expect(lastRead()).toMatchObject({ calls: 1, cancelled: 1 })
  })

  test('keeps its events when the next answer comes', async () => {
    native.atOnce.push(last(0, 1), last(7, 8))
    const first = await reading().toArray()
    await reading().toArray()
    expect(first.map(position)).toEqual([0, 1])
  })

  test('still rejects when it is aborted or closed inside the batch', async () => {
    const controller = new AbortController()
    native.atOnce.push(last(0, 1), last(0, 1))
    const aborted = reading({ signal: controller.signal })[Symbol.asyncIterator]()
    const closed = reading()[Symbol.asyncIterator]()
    await aborted.next()
    await closed.next()
    controller.abort('stop')
    await expect(aborted.next()).rejects.toBe('stop')
    session.close()
    await rejected(() => closed.next(), 'ERR_CLOSED')
  })

  test('wants previous links from the engine once one of its events was asked for its own', async () => {
    native.atOnce.push(packBatch([{ version: 1 }]))
    native.answers.push([last(1)])
    const iterator = reading()[Symbol.asyncIterator]()
    const { value } = await iterator.next()
    expect(lastRead().wantsLinks).toBe(false)
    expect(value?.previousLink).toEqual(new Uint8Array(32))
    expect(lastRead().wantsLinks).toBe(true)
  })
})

describe('an abort', () => {
  test('rejects with its reason: before the start, while waiting, and inside a batch', async () => {
    const reason = { mine: true }
    const before = reading({ signal: AbortSignal.abort(reason) })
    await expect(before.toArray()).rejects.toBe(reason)
    await expect(before.count()).rejects.toBe(reason)
    await expect(reading({ signal: AbortSignal.abort(reason), limit: 0 }).first()).rejects.toBe(
      reason,
    )
    expect(native.reads).toHaveLength(0)

    const waiting = new AbortController()
    const array = reading({ signal: waiting.signal }).toArray()
    await immediate()
    waiting.abort(reason)
    await expect(array).rejects.toBe(reason)
    expect(lastRead().cancelled).toBe(1)

    const inside = new AbortController()
    native.answers.push([batch(0, 1, 2), null])
    const iterator = reading({ signal: inside.signal })[Symbol.asyncIterator]()
    await iterator.next()
    inside.abort(reason)
    await expect(iterator.next()).rejects.toBe(reason)
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
    expect(lastRead().cancelled).toBe(1)
  })

  test('and closing reject a count that is under way, and cancel it', async () => {
    const reason = { mine: true }
    const controller = new AbortController()
    const never = new Promise<never>(() => {})
    const begin = (signal?: AbortSignal) => {
      const counted = reading({ ...(signal && { signal }) }).count()
      return { counted, read: lastRead() }
    }
    vi.spyOn(FakeRead.prototype, 'count').mockReturnValue(never)
    const aborted = begin(controller.signal)
    controller.abort(reason)
    await expect(aborted.counted).rejects.toBe(reason)
    expect(aborted.read.cancelled).toBe(1)
    const closed = begin()
    session.close()
    await rejected(() => closed.counted, 'ERR_CLOSED')
    expect(closed.read.cancelled).toBe(1)
    vi.restoreAllMocks()
  })

  test('after the end changes nothing, and no listener is left', async () => {
    const controller = new AbortController()
    native.answers.push([batch(0), null], [batch(0, 1), batch(2)])
    expect(await reading({ signal: controller.signal }).toArray()).toHaveLength(1)
    for await (const _ of reading({ signal: controller.signal })) break
    await reading({ signal: controller.signal }).count()
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })
})

describe('closing', () => {
  test('rejects reads that wait, are in a batch, or come later', async () => {
    const waiting = reading().toArray()
    native.answers.push([batch(0, 1)])
    const iterator = reading()[Symbol.asyncIterator]()
    await iterator.next()
    const [first] = native.reads
    session.close()
    await rejected(() => waiting, 'ERR_CLOSED')
    await rejected(() => iterator.next(), 'ERR_CLOSED')
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
    await rejected(() => reading().first(), 'ERR_CLOSED')
    await rejected(() => reading({ limit: 0 }).count(), 'ERR_CLOSED')
    expect(first?.cancelled).toBe(1)
  })
})

describe('a query', () => {
  const query = () => new LogQuery(session, EVERYTHING, {})
  const spec = async (built: { count(): Promise<number> }) => {
    await built.count()
    return readSpec(native.specs.at(-1) as Buffer)
  }

  test('is built without changing the one before', async () => {
    const all = query()
    const one = all.fact('a', 'b').entity('e*', { exact: 'x' }).scope('s/*')
    const more = one
      .tagged('t')
      .tagged('u')
      .taggedAny('v')
      .since(new Date(1))
      .until(Uint8Array.of(9))
    expect(await spec(all)).toMatchObject({ kind: 2, filters: [{}] })
    expect(await spec(more)).toMatchObject({
      filters: [
        {
          fact: ['a', 'b'],
          entity: [
            [0, 'e*'],
            [1, 'x'],
          ],
          scope: [[0, 's/*']],
          all: ['t', 'u'],
          any: ['v'],
          clock: { from: '00000000000f4240', to: '09' },
        },
      ],
    })
    expect((await spec(one)).filters).toHaveLength(1)
    expect((await spec(one)).filters).not.toHaveProperty('0.all')
    expect(Object.isFrozen(more.filters)).toBe(true)
  })

  test('takes each coordinate once, on whichever way it was given', () => {
    const built = query()
      .fact('a')
      .entity('e')
      .scope('s')
      .since(new Date())
      .until(new Date())
      .taggedAny('t')
    for (const [name, call] of [
      ['fact', () => built.fact('b')],
      ['entity', () => built.entity('b')],
      ['scope', () => built.scope('b')],
      ['since', () => built.since(new Date())],
      ['until', () => built.until(new Date())],
      ['taggedAny', () => built.taggedAny('b')],
    ] as const) {
      refusedArgument(call, name)
    }
  })

  test('lets a method of the window replace what was given before', async () => {
    const built = query().from(1).limit(5).asOf(9).orderBy('clock').limit(7).from(2)
    expect(await spec(built)).toMatchObject({
      flags: 2,
      from: 2,
      limit: 7,
      asOf: 9,
      after: Number.NaN,
    })
    expect(await spec(query().backwards().backwards().after(3))).toMatchObject({
      flags: 1,
      after: 3,
    })
    refusedArgument(() => query().from(1).after(1), 'after')
    refusedArgument(() => query().after(1).from(1), 'from')
  })

  test('changes every alternative of a list', async () => {
    const list = new LogQuery(session, [{ entity: ['a'] }, { entity: ['b'] }], {})
      .fact('f')
      .tagged('t')
    expect((await spec(list)).filters).toEqual([
      { entity: [[0, 'a']], fact: ['f'], all: ['t'] },
      { entity: [[0, 'b']], fact: ['f'], all: ['t'] },
    ])
    refusedArgument(() => list.entity('c'), 'entity')
  })

  test('with an empty list matches nothing, whatever is added', async () => {
    expect((await spec(query().fact())).filters).toEqual([{ fact: [] }])
    expect((await spec(query().tagged('a').tagged())).filters).toEqual([{ fact: [] }])
    expect((await spec(query().tagged().tagged('a'))).filters).toEqual([{ fact: [] }])
    expect((await spec(new LogQuery(session, [], {}).fact('a'))).filters).toEqual([{ fact: [] }])
  })

  test('has a boundary: its events, the head, and the condition', async () => {
    native.answers.push([batch(3), null])
    const { events, head, unless } = await query().fact('a').boundary()
    expect(events.map(position)).toEqual([3])
    expect(head).toBe(41)
    expect(unless).toEqual({ match: [{ fact: ['a'] }], after: 41 })
  })

  test('has no boundary with a window', async () => {
    for (const [name, built] of [
      ['from', query().from(0)],
      ['after', query().after(-1)],
      ['asOf', query().asOf(5)],
      ['limit', query().limit(5)],
      ['backwards', query().backwards()],
    ] as const) {
      await rejectedArgument(() => built.boundary(), name)
    }
  })

  test('explains itself', async () => {
    expect(await query().explain()).toEqual({ plan: 'scan', recordsTouched: 3 })
  })
})
