import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { Submission } from '../../src/submission.js'
import { type PackedAppend, readSubmission } from '../helpers/packed.js'
import { refused, refusedArgument } from '../helpers/refusals.js'

const ID = '0190163D-8694-739B-AEA5-966C26F8AD91'

function encode(events: unknown, options?: unknown): PackedAppend {
  const submission = new Submission(16 * 1024 * 1024)
  submission.append({ entities: '' }, 7, events, options)
  return readSubmission(submission.packer.written())[0] as PackedAppend
}

function encodeOne(event: object): PackedAppend['events'][number] {
  return encode({ entity: 'e', fact: 'f', ...event }).events[0] as PackedAppend['events'][number]
}

function refusedEvent(event: object, argument: string) {
  return refusedArgument(() => encodeOne(event), `events[0].${argument}`)
}

describe('an append', () => {
  test('has its sequence, and nothing that was not given', () => {
    expect(encode({ entity: 'order:1', fact: 'placed' })).toEqual({
      sequence: 7,
      durability: 0,
      expect: [0, 0],
      map: [],
      unless: [],
      events: [
        {
          entity: 'order:1',
          fact: 'placed',
          scope: '',
          clock: undefined,
          contentType: '',
          tags: [],
          metadata: Buffer.alloc(0),
          metadataKind: 0,
          payload: undefined,
          expect: [0, 0],
          id: undefined,
        },
      ],
    })
  })

  test('has everything that was given', () => {
    const event = encodeOne({
      scope: 'org:acme/team:eng',
      clock: Uint8Array.of(1, 2),
      id: ID,
      tags: ['b', 'ä'],
      contentType: 'application/vnd.x+json; charset=utf-8',
      expect: 3,
      payload: { total: 3 },
      metadata: ['who'],
    })
    expect(event).toMatchObject({
      scope: 'org:acme/team:eng',
      clock: '0102',
      id: ID.toLowerCase().replaceAll('-', ''),
      tags: ['b', 'ä'],
      contentType: 'application/vnd.x+json; charset=utf-8',
      expect: [4, 3],
      metadataKind: 2,
    })
    expect(event.payload?.toString()).toBe('{"total":3}')
    expect(event.metadata.toString()).toBe('["who"]')
  })

  test('of several events keeps their order, and of none has none', () => {
    const events = Array.from({ length: 300 }, (_, i) => ({ entity: `e${i % 3}`, fact: `f${i}` }))
    const append = encode(events)
    expect(append.events.map(({ entity, fact }) => ({ entity, fact }))).toEqual(events)
    expect(encode([]).events).toEqual([])
  })

  test('leaves the entity of all events behind, or that of each', () => {
    const submission = new Submission(1)
    const written = { entities: '' as string | string[] }
    submission.append(written, 0, [{ entity: 'a', fact: 'f' }], undefined)
    expect(written.entities).toBe('a')
    const list = ['a', 'a', 'b', 'a'].map((entity) => ({ entity, fact: 'f' }))
    submission.append(written, 0, list, undefined)
    expect(written.entities).toEqual(['a', 'a', 'b', 'a'])
  })

  test('with strings of every length and script is UTF-8', () => {
    for (const text of [
      '',
      'x'.repeat(31),
      'x'.repeat(33),
      'ä'.repeat(31),
      '😀'.repeat(500),
      '\0',
    ]) {
      expect(encodeOne({ scope: text, tags: [text], payload: text })).toMatchObject({
        scope: text,
        tags: [text],
        payload: Buffer.from(text, 'utf8'),
      })
    }
  })

  test('that makes the buffer grow, wherever it does, is whole', () => {
    for (const size of [30_000, 65_000, 65_500, 70_000, 200_000]) {
      const large = 'x'.repeat(size)
      const map = Object.fromEntries(Array.from({ length: size / 100 }, (_, i) => [`e${i}`, 3]))
      const append = encode(
        {
          entity: 'e',
          fact: 'f',
          scope: 's',
          tags: ['t'],
          metadata: large,
          payload: [large],
          id: ID,
        },
        { expect: map, unless: { match: { fact: large } }, durability: 'none' },
      )
      expect(append.map).toHaveLength(Object.keys(map).length)
      expect(append).toMatchObject({ durability: 3, unless: [{ filters: [{ fact: [large] }] }] })
      expect(append.events[0]).toMatchObject({ scope: 's', tags: ['t'], metadataKind: 2 })
      expect(append.events[0]?.metadata.length).toBe(size + 2)
      expect(append.events[0]?.payload?.length).toBe(size + 4)
    }
  })

  test('has copied its bytes when the call returns', () => {
    const submission = new Submission(1)
    const payload = Uint8Array.of(1, 2, 3)
    submission.append({ entities: '' }, 0, { entity: 'e', fact: 'f', payload }, undefined)
    payload.fill(9)
    const [append] = readSubmission(submission.packer.written())
    expect(append?.events[0]?.payload).toEqual(Buffer.of(1, 2, 3))
  })

  test('takes shared memory, and bytes and dates of another realm', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(2))
    shared[1] = 5
    expect(encodeOne({ payload: shared }).payload).toEqual(Buffer.of(0, 5))
    expect(encodeOne({ payload: runInNewContext('Uint8Array.of(4)') }).payload).toEqual(
      Buffer.of(4),
    )
    expect(encodeOne({ clock: runInNewContext('new Date(1)') }).clock).toBe('00000000000f4240')
  })

  test('makes a date a clock of nanoseconds', () => {
    const { clock } = encodeOne({ clock: new Date('2026-11-21T10:00:00.123Z') })
    expect(BigInt(`0x${clock}`)).toBe(1_795_255_200_123_000_000n)
  })

  test('encodes every durability, and every form of expectation', () => {
    for (const [durability, number] of [
      [undefined, 0],
      ['sync', 1],
      ['interval', 2],
      ['none', 3],
    ] as const) {
      expect(encode([], { durability }).durability).toBe(number)
    }
    for (const [expected, packed] of [
      [undefined, [0, 0]],
      ['any', [1, 0]],
      ['none', [2, 0]],
      [-1, [2, 0]],
      ['exists', [3, 0]],
      [0, [4, 0]],
      [Number.MAX_SAFE_INTEGER, [4, Number.MAX_SAFE_INTEGER]],
    ] as const) {
      expect(encode([], { expect: expected }).expect).toEqual(packed)
      expect(encodeOne({ expect: expected }).expect).toEqual(packed)
    }
  })

  test('takes expectations by entity, also from an object without a prototype', () => {
    const map = Object.assign(Object.create(null), {
      a: 'none',
      b: 4,
      c: undefined,
      ['__proto__']: -1,
    })
    expect(encode([], { expect: map }).map).toEqual([
      ['a', 2, 0],
      ['b', 4, 4],
      ['__proto__', 2, 0],
    ])
  })

  test('packs its conditions', () => {
    expect(
      encode([], {
        unless: [
          { match: { entity: 'a' } },
          { match: [{ fact: ['x', 'y'] }, { filters: [{}, { tags: { all: ['t'] } }] }], after: 3 },
          { match: [], after: -1 },
        ],
      }).unless,
    ).toEqual([
      { after: -1, filters: [{ entity: [[0, 'a']] }] },
      { after: 3, filters: [{ fact: ['x', 'y'] }, {}, { all: ['t'] }] },
      { after: -1, filters: [{ fact: [] }] },
    ])
    expect(encode([], { unless: { match: {} } }).unless).toEqual([{ after: -1, filters: [{}] }])
    expect(encode([], { unless: [] }).unless).toEqual([])
  })
})

describe('a payload', () => {
  test('has a content type by its kind', () => {
    for (const [payload, contentType, bytes] of [
      ['text', 'text/plain', 'text'],
      ['', 'text/plain', ''],
      [Uint8Array.of(65), 'application/octet-stream', 'A'],
      [Buffer.from('B'), 'application/octet-stream', 'B'],
      [null, 'application/json', 'null'],
      [0, 'application/json', '0'],
      [false, 'application/json', 'false'],
      [[], 'application/json', '[]'],
      [{ a: undefined, b: 1 }, 'application/json', '{"b":1}'],
      [new Date(0), 'application/json', '"1970-01-01T00:00:00.000Z"'],
    ] as const) {
      const event = encodeOne({ payload })
      expect(event.contentType).toBe(contentType)
      expect(event.payload?.toString()).toBe(bytes)
    }
  })

  test('goes with the content type given for it', () => {
    for (const [payload, contentType, bytes] of [
      ['text', 'application/json', '"text"'],
      [{ a: 1 }, 'application/cloudevents+json', '{"a":1}'],
      [Buffer.from('{}'), 'application/json', '{}'],
      ['<p>', 'text/html; charset=utf-8', '<p>'],
      [Buffer.from('<p>'), 'TEXT/HTML', '<p>'],
      [Buffer.from([1]), 'image/png', '\x01'],
    ] as const) {
      const event = encodeOne({ payload, contentType })
      expect(event.contentType).toBe(contentType)
      expect(event.payload?.toString()).toBe(bytes)
    }
    expect(encodeOne({ contentType: '' }).payload).toBeUndefined()
  })

  test('that does not go with its content type is refused', () => {
    refusedEvent({ payload: {}, contentType: 'text/plain' }, 'payload')
    refusedEvent({ payload: 'text', contentType: 'image/png' }, 'payload')
    refusedEvent({ payload: 1, contentType: 'application/octet-stream' }, 'payload')
    refusedEvent({ payload: 'text', contentType: '' }, 'contentType')
    refusedEvent({ contentType: 'text/plain' }, 'contentType')
    refusedEvent({ payload: 'x', contentType: 5 }, 'contentType')
  })

  test('beyond the hard limit is refused before it is copied', () => {
    const payload = new Uint8Array(48 * 1024 * 1024 + 1)
    refused(() => encodeOne({ payload }), 'ERR_LIMIT_EXCEEDED', {
      argument: 'events[0].payload',
      limit: 16 * 1024 * 1024,
      actual: payload.length,
    })
    refused(() => encodeOne({ metadata: payload }), 'ERR_LIMIT_EXCEEDED', {
      argument: 'events[0].metadata',
    })
  })

  test('with a detached buffer is refused', () => {
    const payload = Uint8Array.of(1)
    structuredClone(payload, { transfer: [payload.buffer] })
    refusedEvent({ payload }, 'payload')
    refusedEvent({ metadata: payload }, 'metadata')
    refusedEvent({ clock: payload }, 'clock')
    expect(encodeOne({ payload: new Uint8Array(0) }).payload).toEqual(Buffer.alloc(0))
  })
})

describe('refused are', () => {
  test('events that are not objects', () => {
    for (const event of [null, undefined, 'x', 5, () => {}, [[]], [undefined]]) {
      refusedArgument(() => encode(event), 'events[0]')
    }
    refusedArgument(() => encode([{ entity: 'e', fact: 'f' }, undefined, null]), 'events[1]')
  })

  test('fields of a wrong type, or missing', () => {
    refusedArgument(() => encode({ fact: 'f' }), 'events[0].entity')
    refusedArgument(() => encode({ entity: 'e' }), 'events[0].fact')
    for (const field of [
      'entity',
      'fact',
      'scope',
      'clock',
      'id',
      'tags',
      'contentType',
      'expect',
    ]) {
      refusedEvent({ [field]: null, payload: 1 }, field)
      refusedEvent({ [field]: 5.5, payload: 1 }, field)
    }
    refusedEvent({ tags: 'vip' }, 'tags')
    refusedEvent({ tags: ['a', 5] }, 'tags[1]')
    refusedEvent({ clock: [1, 2] }, 'clock')
    refusedEvent({ clock: new Uint16Array(1) }, 'clock')
  })

  test('half surrogate pairs in whatever is stored as text', () => {
    for (const field of ['entity', 'fact', 'scope', 'payload']) {
      refusedEvent({ [field]: 'a\ud800' }, field)
      refusedEvent({ [field]: `${'x'.repeat(100)}\udc00` }, field)
    }
    refusedEvent({ tags: ['\ud800'] }, 'tags[0]')
    refusedArgument(() => encode([], { expect: { '\ud800': 'none' } }), 'options.expect["\\ud800"]')
  })

  test('unknown fields, with a suggestion', () => {
    const error = refusedEvent({ paylod: 1 }, 'paylod')
    expect(error).toMatchObject({ suggestion: 'payload' })
    expect(error.message).toContain("Did you mean 'payload'?")
    expect(encodeOne({ payload: undefined, scope: undefined }).scope).toBe('')
    refusedEvent({ payload: undefined, type: 'x' }, 'type')
    refusedArgument(() => encode([], { expected: 'none' }), 'options.expected')
    refusedArgument(() => encode([], { unless: { match: {}, afer: 1 } }), 'options.unless.afer')
  })

  test('clocks before 1970, after 2554 and of invalid dates', () => {
    refusedEvent({ clock: new Date(-1) }, 'clock')
    refusedEvent({ clock: new Date(Number.NaN) }, 'clock')
    refusedEvent({ clock: new Date('2600-01-01') }, 'clock')
  })

  test('ids that are no UUID, and ids on some events only', () => {
    for (const id of [
      '',
      'x',
      ID.slice(1),
      `${ID}0`,
      ID.replaceAll('-', ''),
      `{${ID}}`,
      'g'.repeat(36),
    ]) {
      refusedEvent({ id }, 'id')
    }
    const withId = { entity: 'e', fact: 'f', id: ID }
    const without = { entity: 'e', fact: 'f' }
    refusedArgument(() => encode([withId, without]), 'events[1].id')
    refusedArgument(() => encode([without, withId]), 'events[1].id')
  })

  test('expectations that are none, and two at once', () => {
    for (const expected of ['non', -2, 1.5, Number.NaN, 2 ** 53, null, true]) {
      refusedArgument(() => encode([], { expect: expected }), 'options.expect')
      refusedEvent({ expect: expected }, 'expect')
    }
    expect(refusedArgument(() => encode([], { expect: 'non' }), 'options.expect')).toMatchObject({
      suggestion: 'none',
    })
    refusedArgument(() => encode([], { expect: new Map([['a', 1]]) }), 'options.expect')
    refusedArgument(() => encode([], { expect: ['none'] }), 'options.expect')
    refusedArgument(() => encode([], { expect: { a: 'non' } }), 'options.expect["a"]')
    const event = { entity: 'e', fact: 'f', expect: 'any' }
    refusedArgument(() => encode(event, { expect: 'any' }), 'events[0].expect')
    refusedArgument(() => encode(event, { expect: {} }), 'events[0].expect')
  })

  test('conditions that are none', () => {
    refusedArgument(() => encode([], { unless: 'x' }), 'options.unless')
    refusedArgument(() => encode([], { unless: {} }), 'options.unless.match')
    refusedArgument(() => encode([], { unless: [{ match: {} }, null] }), 'options.unless[1]')
    for (const after of [-2, 0.5, Number.NaN, '1']) {
      refusedArgument(() => encode([], { unless: { match: {}, after } }), 'options.unless.after')
    }
    refusedArgument(
      () => encode([], { unless: { match: { scope: undefined } } }),
      'options.unless.match.scope',
    )
    refusedArgument(
      () => encode([], { unless: { match: { filters: 'all' } } }),
      'options.unless.match.filters',
    )
  })

  test('options that are no object', () => {
    for (const options of [null, [], 'sync', 5])
      refusedArgument(() => encode([], options), 'options')
    refusedArgument(() => encode([], { durability: 'Sync' }), 'options.durability')
  })

  test('more than 65,536 events', () => {
    const event = { entity: 'e', fact: 'f' }
    expect(encode(new Array(65_536).fill(event)).events).toHaveLength(65_536)
    refused(() => encode(new Array(65_537).fill(event)), 'ERR_LIMIT_EXCEEDED', {
      argument: 'events',
      limit: 65_536,
      actual: 65_537,
    })
  })
})

describe('code of the caller that runs in the middle', () => {
  test('is called once a getter', () => {
    const calls: string[] = []
    const event = new Proxy({ entity: 'e', fact: 'f', payload: { a: 1 }, tags: ['t'] } as object, {
      get(target, key) {
        calls.push(String(key))
        return Reflect.get(target, key)
      },
    })
    encode(event)
    expect(calls.sort()).toEqual([
      ...['clock', 'contentType', 'entity', 'expect', 'fact'],
      ...['id', 'metadata', 'payload', 'scope', 'tags'],
    ])
  })

  test('becomes the cause of a refusal when it throws', () => {
    const cause = new Error('mine')
    const thrower = () => {
      throw cause
    }
    const event = Object.defineProperty({ entity: 'e', fact: 'f' }, 'scope', { get: thrower })
    expect(refusedArgument(() => encode([event]), 'events[0]').cause).toBe(cause)
    const payload = { toJSON: thrower }
    expect(refusedEvent({ payload }, 'payload').cause).toBe(cause)
    const options = Object.defineProperty({}, 'unless', { get: thrower })
    expect(refusedArgument(() => encode([], options), 'options').cause).toBe(cause)
    const proxy = new Proxy({}, { get: thrower, ownKeys: thrower })
    expect(refusedArgument(() => encode(proxy), 'events[0]').cause).toBe(cause)
  })

  test('leaves nothing of a refused append behind', () => {
    const submission = new Submission(1)
    const good = { entity: 'e', fact: 'f', payload: 'x'.repeat(100_000) }
    submission.append({ entities: '' }, 0, good, undefined)
    const before = Buffer.from(submission.packer.written())
    const bad = { entity: 'e', fact: 'f', payload: () => {} }
    expect(() => submission.append({ entities: '' }, 1, [good, good, bad], undefined)).toThrow()
    expect(Buffer.from(submission.packer.written()).equals(before)).toBe(true)
    submission.append({ entities: '' }, 2, good, undefined)
    expect(readSubmission(submission.packer.written()).map(({ sequence }) => sequence)).toEqual([
      0, 2,
    ])
  })

  test('cannot append in the middle of an append', () => {
    const submission = new Submission(1)
    let inner: unknown
    const payload = {
      toJSON() {
        try {
          submission.append({ entities: '' }, 1, { entity: 'inner', fact: 'f' }, undefined)
        } catch (error) {
          inner = error
        }
        return 1
      },
    }
    submission.append({ entities: '' }, 0, { entity: 'outer', fact: 'f', payload }, undefined)
    expect(inner).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    const appends = readSubmission(submission.packer.written())
    expect(appends.map(({ events }) => events[0]?.entity)).toEqual(['outer'])
  })
})
