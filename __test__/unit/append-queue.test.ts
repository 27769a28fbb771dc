import { beforeEach, describe, expect, test } from 'vitest'
import { AppendQueue } from '../../src/append-queue.js'
import { FakeNative, nativeError } from '../helpers/fake-native.js'
import { packOutcomes, readSubmission } from '../helpers/packed.js'
import { refused } from '../helpers/refusals.js'

let native: FakeNative
let queue: AppendQueue
const event = (entity: string, payload?: unknown) => ({ entity, fact: 'f', payload })
const tick = () => new Promise((resolve) => setImmediate(resolve))
const entities = (submission: Buffer | undefined) =>
  readSubmission(submission as Buffer).map(({ events }) => events[0]?.entity)

beforeEach(() => {
  native = new FakeNative()
  queue = new AppendQueue(Number.NaN)
  queue.attach(native)
})

describe('appends', () => {
  test('of one tick go over in one call, in their order', async () => {
    for (let i = 0; i < 10; i++) void queue.append(event(`e${i}`), undefined)
    expect(native.submissions).toHaveLength(0)
    await tick()
    expect(native.submissions).toHaveLength(1)
    expect(entities(native.submissions[0])).toEqual(Array.from({ length: 10 }, (_, i) => `e${i}`))
    void queue.append(event('later'), undefined)
    await tick()
    expect(native.submissions).toHaveLength(2)
  })

  test('of one tick go over in parts if they are many, and the engine knows when they end', async () => {
    for (let i = 0; i < 1000; i++) void queue.append(event(`e${i}`), undefined)
    expect(native.submissions.length).toBeGreaterThan(1)
    expect(native.isMoreAnnounced).toBe(true)
    await tick()
    expect(native.isMoreAnnounced).toBe(false)
    const all = Array.from({ length: 1000 }, (_, i) => `e${i}`)
    expect(native.submissions.flatMap(entities)).toEqual(all)
  })

  test('that follow outcomes go over together, and if there are none the engine is told', async () => {
    const again = async (entity: string) => {
      await queue.append(event(entity), undefined)
      await Promise.resolve()
      void queue.append(event(entity), undefined)
    }
    const callers = Promise.all([again('a'), again('b')])
    await tick()
    native.isMoreAnnounced = true
    queue.onOutcomes(packOutcomes([{ sequence: 0 }, { sequence: 1 }]))
    await callers
    await tick()
    expect(native.isMoreAnnounced).toBe(false)
    expect(native.submissions.map(entities)).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ])
    native.isMoreAnnounced = true
    queue.onOutcomes(packOutcomes([{ sequence: 2 }, { sequence: 3 }]))
    await tick()
    expect(native.isMoreAnnounced).toBe(false)
    expect(native.submissions).toHaveLength(2)
  })

  test('settle by their outcomes, in order', async () => {
    const settled: string[] = []
    const a = queue.append(event('a'), undefined).then((receipt) => {
      settled.push('a')
      return receipt
    })
    const b = queue.append(event('b'), undefined).catch((error: unknown) => {
      settled.push('b')
      return error
    })
    const c = queue.append([event('c'), event('d')], undefined).then((receipt) => {
      settled.push('c')
      return receipt
    })
    await tick()
    queue.onOutcomes(packOutcomes([{ sequence: 0, position: 3 }]))
    queue.onOutcomes(
      packOutcomes([
        {
          sequence: 1,
          error: {
            code: 'ERR_CONDITION_FAILED',
            message: 'm',
            written: false,
            position: 1,
            index: 0,
          },
        },
        { sequence: 2, count: 2, versions: [0, 4] },
      ]),
    )
    expect(await a).toMatchObject({ position: 3, versions: new Map([['a', 0]]) })
    expect(await b).toMatchObject({ code: 'ERR_CONDITION_FAILED', position: 1 })
    expect((await c).versions).toEqual(
      new Map([
        ['c', 0],
        ['d', 4],
      ]),
    )
    expect(settled).toEqual(['a', 'b', 'c'])
  })

  test('that are refused when they are encoded do not hold up others', async () => {
    const good = queue.append(event('a'), undefined)
    refused(() => queue.append({ entity: 'x' }, undefined), 'ERR_INVALID_ARGUMENT')
    const other = queue.append(event('b'), undefined)
    await tick()
    expect(entities(native.submissions.at(-1)).at(-1)).toBe('b')
    queue.onOutcomes(packOutcomes([{ sequence: 0 }, { sequence: 1 }]))
    await Promise.all([good, other])
  })

  test('keep the process alive while one is pending, and no longer', async () => {
    const a = queue.append(event('a'), undefined)
    const b = queue.append(event('b'), undefined)
    await tick()
    expect(native.log).toEqual(['ref', 'submit'])
    queue.onOutcomes(packOutcomes([{ sequence: 0 }]))
    expect(native.log).toEqual(['ref', 'submit'])
    queue.onOutcomes(packOutcomes([{ sequence: 1 }]))
    expect(native.log).toEqual(['ref', 'submit', 'unref'])
    await Promise.all([a, b, queue.drained()])
    const c = queue.append(event('c'), undefined)
    await tick()
    queue.onOutcomes(packOutcomes([{ sequence: 2 }]))
    await c
    expect(native.log).toEqual(['ref', 'submit', 'unref', 'ref', 'submit', 'unref'])
  })

  test('that cannot be handed over are rejected, those before them are not', async () => {
    const sent = queue.append(event('a'), undefined)
    await tick()
    native.submitError = nativeError({ code: 'ERR_CLOSED' })
    const unsent = queue.append(event('b'), undefined)
    await expect(unsent).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    queue.onOutcomes(packOutcomes([{ sequence: 0 }]))
    await sent
    expect(native.log.at(-1)).toBe('unref')
  })

  test('by the hundred thousand settle, each with its own', async () => {
    native.submit = () => {}
    const promises: Promise<unknown>[] = []
    for (let i = 0; i < 100_000; i++) promises.push(queue.append(event('e'), undefined))
    queue.flush()
    for (let i = 0; i < 100_000; i += 1000) {
      const outcomes = Array.from({ length: 1000 }, (_, j) => ({
        sequence: i + j,
        position: i + j,
      }))
      queue.onOutcomes(packOutcomes(outcomes))
    }
    const receipts = (await Promise.all(promises)) as { position: number }[]
    expect(receipts.every(({ position }, i) => position === i)).toBe(true)
  })

  test('of much in one tick begin before its end, and leave no large buffer behind', async () => {
    const payload = new Uint8Array(3 * 1024 * 1024)
    for (let i = 0; i < 4; i++) void queue.append(event(`e${i}`, payload), undefined)
    expect(native.submissions.length).toBeGreaterThan(0)
    await tick()
    expect(native.submissions.flatMap(entities)).toEqual(['e0', 'e1', 'e2', 'e3'])
  })
})

describe('a synchronous append', () => {
  test('goes after what the tick has appended', async () => {
    const a = queue.append(event('a'), undefined)
    native.syncAnswer = packOutcomes([{ sequence: 1, position: 7 }])
    expect(queue.appendSync(event('b'), undefined).position).toBe(7)
    expect(native.log).toEqual(['ref', 'submit', 'appendSync'])
    expect(native.submissions.map(entities)).toEqual([['a'], ['b']])
    queue.onOutcomes(packOutcomes([{ sequence: 0 }]))
    await a
    await tick()
    expect(native.submissions).toHaveLength(2)
  })

  test('throws what it is refused with, and leaves nothing behind', async () => {
    native.syncAnswer = packOutcomes([
      { sequence: 0, error: { code: 'ERR_READ_ONLY', message: 'm', written: false } },
    ])
    refused(() => queue.appendSync(event('a'), undefined), 'ERR_READ_ONLY')
    native.syncAnswer = nativeError({ code: 'ERR_CLOSED' })
    refused(() => queue.appendSync(event('a'), undefined), 'ERR_CLOSED')
    refused(() => queue.appendSync({ entity: 1 }, undefined), 'ERR_INVALID_ARGUMENT')
    const before = native.submissions.length
    await tick()
    expect(native.submissions).toHaveLength(before)
  })
})
