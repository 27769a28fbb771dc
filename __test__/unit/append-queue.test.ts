import { beforeEach, describe, expect, test } from 'vitest'
import { AppendQueue } from '../../src/append-queue.js'
import { Submission } from '../../src/submission.js'
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
    await Promise.all([a, b, queue.drained()])
    expect(native.log).toEqual(['ref', 'submit', 'unref'])
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

  test('by the hundred settle over several turns if those who wait for them take long', async () => {
    const order: (number | 'turn')[] = []
    const promises = Array.from({ length: 1000 }, (_, i) =>
      queue.append(event('e'), undefined).then(() => {
        order.push(i)
        for (const until = performance.now() + 0.02; performance.now() < until; );
      }),
    )
    const later = queue.append(event('e'), undefined).then(() => order.push(1000))
    queue.flush()
    const settled = Promise.all([...promises, later])
    queue.onOutcomes(packOutcomes(promises.map((_, sequence) => ({ sequence }))))
    setImmediate(() => order.push('turn'))
    queue.onOutcomes(packOutcomes([{ sequence: 1000 }]))
    await settled
    expect(order.indexOf('turn')).toBeLessThan(1000)
    expect(order.filter((one) => one !== 'turn')).toEqual(Array.from(Array(1001).keys()))
    expect(native.isMoreAnnounced).toBe(false)
    expect(native.log.at(-1)).toBe('unref')
  })

  test('of large payloads are copied over several turns, and keep their order', async () => {
    const payload = new Uint8Array(3 * 1024 * 1024).fill(7)
    for (let i = 0; i < 4; i++) void queue.append(event(`e${i}`, payload), undefined)
    expect(native.submissions).toHaveLength(0)
    await queue.handedOver()
    expect(native.submissions.flatMap(entities)).toEqual(['e0', 'e1', 'e2', 'e3'])
    const [append] = readSubmission(native.submissions[2] as Buffer)
    expect(Buffer.compare(append?.events[0]?.payload as Buffer, payload)).toBe(0)
  })
})

describe('an append of many events', () => {
  const many = (name: string, count = 20_000) =>
    Array.from({ length: count }, (_, i) => ({ ...event(`${name}${i % 100}`, `payload ${i}`) }))

  test('is packed over several turns, to the same bytes as at once', async () => {
    const events = many('e')
    const promise = queue.append(events, { expect: { e1: 4 } })
    events.length = 0
    expect(native.submissions).toHaveLength(0)
    let turns = 0
    for (; native.submissions.length === 0; turns++) await tick()
    expect(turns).toBeGreaterThan(1)
    const whole = new Submission(1024)
    whole.append({ entities: '' }, 0, many('e'), { expect: { e1: 4 } })
    expect(Buffer.compare(native.submissions[0] as Buffer, whole.packer.written())).toBe(0)
    const versions = Array.from({ length: 20_000 }, (_, i) => Math.floor(i / 100))
    queue.onOutcomes(packOutcomes([{ sequence: 0, count: 20_000, versions }]))
    expect((await promise).versions.get('e99')).toBe(199)
  })

  describe('whose events take long to read', () => {
    let read = 0
    const slow = (): object => ({
      entity: 'e',
      get fact() {
        read++
        for (const until = performance.now() + 0.01; performance.now() < until; );
        return 'f'
      },
    })
    /** How many of its events were read at the call. */
    const append = (length: number): number => {
      const before = read
      void queue.append(Array.from({ length }, slow), undefined)
      return read - before
    }

    test('shares its turn of the loop with those of the same tick; up to 32 are packed at the call', async () => {
      read = 0
      expect(append(1000)).toBeLessThan(1000)
      expect(append(1000)).toBeLessThanOrEqual(64)
      expect(append(32)).toBe(32)
      await queue.handedOver()
      expect(read).toBe(2032)
      const lengths = native.submissions.map((each) => readSubmission(each)[0]?.events.length)
      expect(lengths).toEqual([1000, 1000, 32])
    })

    test('is packed at the call if too many wait already, so that memory is bounded', async () => {
      while (append(100) === 100);
      const waiting = Array.from({ length: 80 }, () => append(100)).filter((count) => count < 100)
      expect(waiting).toHaveLength(63)
      expect(append(2049)).toBeLessThan(2049)
      await queue.handedOver()
      const lengths = native.submissions.flatMap((each) => readSubmission(each))
      expect(lengths.every(({ events: { length } }) => length === 100 || length === 2049)).toBe(
        true,
      )
    })

    test('goes on in one turn with others that are short too', async () => {
      let appended = 1
      while (append(40) === 40) appended++
      for (let more = 0; more < 5; more++, appended++) expect(append(40)).toBeLessThan(40)
      await tick()
      await tick()
      expect(native.submissions.flatMap((each) => readSubmission(each))).toHaveLength(appended)
    })

    test('does not hold up who waits for those before it', async () => {
      append(1000)
      let isOver = false
      const before = queue.handedOver().then(() => {
        isOver = true
      })
      for (let turns = 0; !isOver && turns < 100; turns++) {
        append(1000)
        await tick()
      }
      expect(isOver).toBe(true)
      await before
      await queue.handedOver()
    })
  })

  test('goes between those before and behind it', async () => {
    void queue.append(event('a'), undefined)
    void queue.append(many('b'), undefined)
    void queue.append(event('c'), undefined)
    void queue.append(many('d'), undefined)
    void queue.append(event('e'), undefined)
    await tick()
    void queue.append(event('f'), undefined)
    await queue.handedOver()
    const order = ['a', 'b0', 'c', 'd0', 'e', 'f']
    expect(native.submissions.flatMap(entities)).toEqual(order)
    expect(native.submissions.flatMap((s) => readSubmission(s).map((a) => a.sequence))).toEqual([
      0, 1, 2, 3, 4, 5,
    ])
  })

  test('is refused as a whole for its last event, and holds nobody up', async () => {
    const before = queue.append(event('a'), undefined)
    const bad = queue.append([...many('b'), { entity: 'b' }], undefined)
    const behind = queue.append(event('c'), undefined)
    await expect(bad).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      argument: 'events[20000].fact',
    })
    await queue.handedOver()
    expect(native.submissions.flatMap(entities)).toEqual(['a', 'c'])
    queue.onOutcomes(packOutcomes([{ sequence: 0 }, { sequence: 2 }]))
    await Promise.all([before, behind, queue.drained()])
    expect(native.log.at(-1)).toBe('unref')
  })

  test('that is refused alone lets the process end', async () => {
    await expect(queue.append([...many('b'), {}], undefined)).rejects.toThrow()
    await queue.drained()
    expect(native.log).toEqual(['ref', 'unref'])
  })

  test('is handed over before a synchronous append that comes behind it', () => {
    void queue.append(many('a'), undefined)
    void queue.append(event('b'), undefined)
    native.syncAnswer = packOutcomes([{ sequence: 2 }])
    queue.appendSync(event('c'), undefined)
    expect(native.submissions.flatMap(entities)).toEqual(['a0', 'b', 'c'])
  })

  test('cannot be waited for by one of its own getters', async () => {
    const events = many('a')
    let error: unknown
    events[19_000] = {
      ...event('x'),
      get payload() {
        try {
          queue.appendSync(event('y'), undefined)
        } catch (thrown) {
          error = thrown
        }
        return undefined
      },
    }
    void queue.append(events, undefined)
    await queue.handedOver()
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(native.submissions.flatMap(entities)).toEqual(['a0'])
  })

  test('is refused if its bytes go away before it has settled', async () => {
    const payload = new Uint8Array(3 * 1024 * 1024)
    const promise = queue.append(event('a', payload), undefined)
    structuredClone(payload, { transfer: [payload.buffer] })
    await expect(promise).rejects.toMatchObject({ argument: 'events[0].payload' })
    expect(native.submissions).toHaveLength(0)
  })

  test('is rejected with those behind it if it cannot be handed over', async () => {
    const sent = queue.append(event('a'), undefined)
    await tick()
    const large = queue.append(many('b'), undefined)
    const behind = queue.append(event('c'), undefined)
    const other = queue.append(many('d'), undefined)
    native.submitError = nativeError({ code: 'ERR_CLOSED' })
    for (const lost of [large, behind, other]) {
      await expect(lost).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    }
    await queue.handedOver()
    queue.onOutcomes(packOutcomes([{ sequence: 0 }]))
    await sent
  })

  test('that cannot be taken over does not take with it what was handed over before it', async () => {
    const before = queue.append(event('a'), undefined)
    native.stageError = nativeError({ code: 'ERR_CLOSED' })
    const large = queue.append(many('b'), undefined)
    await expect(large).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await tick()
    expect(native.submissions.map(entities)).toEqual([['a']])
    queue.onOutcomes(packOutcomes([{ sequence: 0 }]))
    await before
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
