import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type BatchSource, decodeEntities } from '../../src/batch.js'
import { decodeEvent, decodeEvents } from '../../src/event.js'
import { TextCache } from '../../src/texts.js'
import type { RecordedEvent } from '../../src/types.js'
import { type BatchRow, packBatch, SERIAL, Strings } from '../helpers/packed.js'
import { refused } from '../helpers/refusals.js'

const ID = '0190163d-8694-739b-aea5-966c26f8ad91'
const eventsOf = (bytes: Uint8Array, from: BatchSource) => {
  const batch = decodeEvents(bytes, from)
  return batch.items(0, batch.count)
}
const utf8 = (text: string) => Buffer.from(text, 'utf8')

const ROW: BatchRow = {
  position: 2 ** 53 - 1,
  version: 4,
  recordedAtUs: Date.UTC(2026, 10, 21, 10) * 1000 + 123_456,
  entity: 'user:ü',
  fact: 'created',
  scope: 'org:acme/eng',
  contentType: 'application/json',
  tags: ['a', 'vip'],
  link: new Uint8Array(32).fill(7),
  previousLink: new Uint8Array(32).fill(6),
  id: ID,
  clock: Uint8Array.of(1, 2, 3),
  payload: utf8('{"a":["ü"]}'),
  metadata: utf8('"who"'),
  metadataKind: 2,
}

const strings = new Strings()
const pack: typeof packBatch = (rows, fields) => packBatch(rows, { strings, ...fields })

/** Answers every question for previous links with links of 9, and remembers it. */
function source(answer = (count: number) => count): BatchSource & { asked: number[][] } {
  const asked: number[][] = []
  return {
    asked,
    texts: new TextCache((_position, reference) => strings.text(reference)),
    previousLinks(positions) {
      asked.push([...positions])
      return new Uint8Array(32 * answer(positions.length)).fill(9)
    },
  }
}

function one(row: BatchRow): RecordedEvent {
  return decodeEvent(pack([row], { withPreviousLinks: true }), source())
}

describe('an event', () => {
  test('has every field of its row', () => {
    const event = one(ROW)
    expect(event.position).toBe(2 ** 53 - 1)
    expect(event.version).toBe(4)
    expect(event.entity).toBe('user:ü')
    expect(event.fact).toBe('created')
    expect(event.scope).toBe('org:acme/eng')
    expect(event.contentType).toBe('application/json')
    expect(event.tags).toEqual(['a', 'vip'])
    expect(event.id).toBe(ID)
    expect(event.clock).toEqual(Uint8Array.of(1, 2, 3))
    expect(event.link).toEqual(new Uint8Array(32).fill(7))
    expect(event.previousLink).toEqual(new Uint8Array(32).fill(6))
    expect(event.recordedAtUs).toBe(Date.UTC(2026, 10, 21, 10) * 1000 + 123_456)
    expect(event.recordedAt).toEqual(new Date('2026-11-21T10:00:00.123Z'))
    expect(event.payload).toEqual({ a: ['ü'] })
    expect(event.metadata).toBe('who')
    expect(event.text()).toBe('{"a":["ü"]}')
    expect(event.bytes()).toEqual(new Uint8Array(utf8('{"a":["ü"]}')))
  })

  test('decodes its payload once, and by content type', () => {
    const event = one(ROW)
    expect(event.payload).toBe(event.payload)
    expect(one({ contentType: 'text/plain', payload: utf8('\ufeffx\ufffd') }).payload).toBe(
      '\ufeffx\ufffd',
    )
    expect(one({ contentType: 'application/x+json;v=1', payload: utf8('1') }).payload).toBe(1)
    expect(one({ contentType: 'image/png', payload: Uint8Array.of(9) }).payload).toEqual(
      Uint8Array.of(9),
    )
    expect(one({ contentType: 'application/json', payload: utf8('null') }).payload).toBeNull()
    const none = one({ contentType: '' })
    expect(none.payload).toBeUndefined()
    expect(none.bytes()).toEqual(new Uint8Array(0))
    expect(none.text()).toBe('')
    expect(none.metadata).toBeUndefined()
    expect(one({ metadata: Uint8Array.of(3), metadataKind: 1 }).metadata).toEqual(Uint8Array.of(3))
  })

  test('says so when its payload is not what its content type says, and still has its bytes', () => {
    const json = one({ position: 5, contentType: 'application/json', payload: utf8('{') })
    refused(() => json.payload, 'ERR_PAYLOAD_DECODE', {
      position: 5,
      contentType: 'application/json',
    })
    refused(() => json.json(), 'ERR_PAYLOAD_DECODE')
    expect(json.text()).toBe('{')
    expect(json.bytes()).toEqual(new Uint8Array(utf8('{')))
    const text = one({ contentType: 'text/plain', payload: Uint8Array.of(0xff, 0x41) })
    refused(() => text.payload, 'ERR_PAYLOAD_DECODE')
    refused(() => text.text(), 'ERR_PAYLOAD_DECODE')
    expect(inspect(text)).toContain('base64')
    refused(() => one({ contentType: '' }).json(), 'ERR_PAYLOAD_DECODE')
    expect(one({ contentType: 'image/png', payload: utf8('[1]') }).json<number[]>()).toEqual([1])
  })

  test('is a view: spreading it gives nothing, toJSON() everything', () => {
    const event = one({ ...ROW, payload: Uint8Array.of(1, 2), contentType: 'image/png' })
    expect({ ...event }).toEqual({})
    const json = {
      position: 2 ** 53 - 1,
      version: 4,
      entity: 'user:ü',
      fact: 'created',
      scope: 'org:acme/eng',
      clock: '010203',
      id: ID,
      tags: ['a', 'vip'],
      recordedAt: '2026-11-21T10:00:00.123456Z',
      contentType: 'image/png',
      payload: { base64: 'AQI=' },
      metadata: 'who',
      link: '07'.repeat(32),
      previousLink: '06'.repeat(32),
    }
    expect(event.toJSON()).toEqual(json)
    expect(JSON.parse(JSON.stringify(event))).toEqual(json)
    expect(inspect(event)).toContain("entity: 'user:ü'")
    expect('payload' in one({ contentType: '' }).toJSON()).toBe(false)
  })

  test('has a recorded time with six digits, whatever they are', () => {
    const at = (us: number) => one({ recordedAtUs: us }).toJSON().recordedAt
    expect(at(0)).toBe('1970-01-01T00:00:00.000000Z')
    expect(at(1_000_007)).toBe('1970-01-01T00:00:01.000007Z')
    expect(at(1_999_999)).toBe('1970-01-01T00:00:01.999999Z')
  })

  test('can be looked at when the event before it cannot be read', () => {
    const broken: BatchSource = {
      texts: source().texts,
      previousLinks: () => {
        throw new Error('damaged')
      },
    }
    const event = decodeEvent(pack([{ ...ROW, metadata: utf8('{') }]), broken)
    expect(() => event.previousLink).toThrow('damaged')
    expect(() => event.toJSON()).toThrow()
    expect(inspect(event)).toContain("previousLink: '(cannot be read)'")
    expect(inspect(event)).toContain("metadata: { base64: 'ew==' }")
  })

  test('detaches into a copy that owns its bytes', () => {
    const rows = [{ fact: 'other' }, ROW, { fact: 'last' }]
    const event = eventsOf(pack(rows), source())[1] as RecordedEvent
    const copy = event.detach()
    expect(copy.toJSON()).toEqual(event.toJSON())
    expect(copy.previousLink).toEqual(new Uint8Array(32).fill(9))
    expect(copy.payload).toEqual(event.payload)
    for (const bytes of [copy.clock, copy.link, copy.previousLink, copy.bytes()]) {
      expect(bytes.buffer.byteLength).toBe(bytes.length)
    }
    expect(copy.detach().toJSON()).toEqual(event.toJSON())
    expect(one({ contentType: '' }).detach().payload).toBeUndefined()
  })

  test('of a batch without previous links asks for them once for its neighbours too', () => {
    const rows = Array.from({ length: 300 }, (_, i) => ({ version: i, position: i + 9 }))
    const links = source()
    const events = eventsOf(pack(rows), links)
    expect(events[0]?.previousLink).toEqual(new Uint8Array(32))
    expect(links.asked).toEqual([])
    for (const event of events.slice(1)) {
      expect(event.previousLink).toEqual(new Uint8Array(32).fill(9))
    }
    expect(links.asked.map((positions) => positions.length)).toEqual([256, 43])
    expect(links.asked.flat()).toEqual(rows.slice(1).map(({ position }) => position))
  })

  test('asks again where the engine has given the first link only', () => {
    const rows = Array.from({ length: 3 }, (_, i) => ({ version: 1, position: i }))
    const links = source(() => 1)
    for (const event of eventsOf(pack(rows), links)) {
      expect(event.previousLink).toEqual(new Uint8Array(32).fill(9))
    }
    expect(links.asked).toEqual([[0, 1, 2], [1, 2], [2]])
  })
})

describe('strings', () => {
  /** A cache, and what it has looked up so far. */
  function cache(text = (reference: number) => `${reference}`) {
    const asked: [position: number, reference: number][] = []
    const texts = new TextCache((position, reference) => {
      asked.push([position, reference])
      return text(reference)
    })
    const read = (serial: number, reference: number, position = 0) =>
      texts.get(serial, reference) ?? texts.find(serial, reference, position)
    return { read, asked }
  }

  test('are looked up once, by the place of an event that has them', () => {
    const rows = [1, 2, 3].map((position) => ({ position, entity: 'a', tags: ['a', 'b'] }))
    const { read, asked } = cache((reference) => strings.text(reference))
    const texts = { get: () => undefined, find: read }
    const [first, ...others] = eventsOf(pack(rows), { ...source(), texts })
    expect([first?.entity, first?.tags]).toEqual(['a', ['a', 'b']])
    for (const event of others) expect([event.entity, event.tags]).toEqual(['a', ['a', 'b']])
    expect(asked).toEqual([
      [1, strings.reference('a')],
      [1, strings.reference('b')],
    ])
  })

  test('of different segments are different ones', () => {
    const { read, asked } = cache()
    read(SERIAL, 5000)
    read(SERIAL + 1, 5000)
    read(SERIAL, 5000)
    expect(asked.length).toBe(2)
  })

  test('displace one another, and long ones are not kept', () => {
    const { read, asked } = cache()
    const keys = Array.from({ length: 200_000 }, (_, i) => i + 1)
    for (let round = 0; round < 2; round++) {
      expect(keys.filter((key) => read(1, key) !== `${key}`)).toEqual([])
    }
    expect(asked.length).toBeGreaterThan(200_000)
    const long = cache(() => 'x'.repeat(129))
    long.read(1, 5)
    long.read(1, 5)
    expect(long.asked.length).toBe(2)
  })
})

test('a batch of entities is decoded in its order', () => {
  const bytes = Buffer.alloc(8 + 2 * 24 + 3)
  bytes.writeUInt32LE(2, 0)
  bytes.writeDoubleLE(3, 8)
  bytes.writeDoubleLE(10, 16)
  bytes.writeUInt32LE(56, 24)
  bytes.writeUInt32LE(1, 28)
  bytes.writeDoubleLE(0, 32)
  bytes.writeDoubleLE(4, 40)
  bytes.writeUInt32LE(57, 48)
  bytes.writeUInt32LE(2, 52)
  bytes.write('aü', 56)
  const items = [
    { entity: 'a', version: 3, position: 10 },
    { entity: 'ü', version: 0, position: 4 },
  ]
  const batch = decodeEntities(bytes)
  expect(batch).toMatchObject({ count: 2, last: false })
  expect(batch.items(0, 2)).toEqual(items)
  expect(batch.items(1, 2)).toEqual(items.slice(1))
  bytes.writeUInt32LE(2, 4)
  expect(decodeEntities(bytes).last).toBe(true)
})
