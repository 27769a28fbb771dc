import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JsonWriter } from '../../src/json.js'
import { Packer } from '../../src/packer.js'
import { refusedArgument } from '../helpers/refusals.js'

function write(value: unknown): string {
  const packer = new Packer()
  new JsonWriter(packer).write(value, 'payload', 0)
  return Buffer.from(packer.written()).toString('utf8')
}

describe('JSON', () => {
  test('of any value is what JSON.stringify gives', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' }), (value) => {
        expect(write(value)).toBe(JSON.stringify(value))
      }),
      { numRuns: 500 },
    )
  })

  test('of strings and keys is what JSON.stringify gives, escapes and half pairs too', () => {
    const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 80 })
    fc.assert(
      fc.property(units, (codes) => {
        const text = String.fromCharCode(...codes)
        expect(write({ [text]: text })).toBe(JSON.stringify({ [text]: text }))
      }),
      { numRuns: 500 },
    )
  })

  test('of long strings is what JSON.stringify gives, whatever stands in them', () => {
    const long = 'x'.repeat(100)
    const ends = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit))
    const texts = [...ends, '', '\u{1f600}', 'ü"'].map((end) => long + end)
    expect(write(texts) === JSON.stringify(texts)).toBe(true)
  })

  test('of numbers is what JSON.stringify gives', () => {
    const some = [0, -0, 1, 9, 10, 99, 100, 999_999, 1_000_000, -1, 1e21, 5e-324, 2 ** 53, 0.1]
    for (const number of some) expect(write(number)).toBe(JSON.stringify(number))
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        expect(write([number])).toBe(JSON.stringify([number]))
      }),
    )
  })

  test('of dates, boxed values, class instances and toJSON is what JSON.stringify gives', () => {
    class Point {
      x = 1
      get y() {
        return 2
      }
    }
    class Money {
      toJSON(key: string) {
        return { key, amount: 5, at: new Date(1) }
      }
    }
    const values = [
      new Date(5),
      Object(5),
      Object('x'),
      Object(true),
      new Point(),
      new Money(),
      { a: new Money(), b: [new Money()] },
      { a: { toJSON: () => undefined }, b: 1 },
      { a: undefined, b: [], c: {} },
      Object.assign(Object.create(null), { a: 1 }),
      Object.create({ inherited: 1 }),
      { [Symbol('s')]: 1, a: 1 },
      new URL('https://example.org/'),
    ]
    for (const value of values) expect(write(value)).toBe(JSON.stringify(value))
  })

  test('of long values is what JSON.stringify gives', () => {
    const value = {
      text: 'ä"\n'.repeat(100_000),
      list: Array.from({ length: 20_000 }, (_, i) => i),
    }
    expect(write(value)).toBe(JSON.stringify(value))
  })

  test('reads each property once', () => {
    let reads = 0
    const value = {
      get a() {
        reads++
        return { b: 1 }
      },
    }
    expect(write(value)).toBe('{"a":{"b":1}}')
    expect(reads).toBe(1)
  })
})

describe('refused with its path is', () => {
  const path = (value: unknown, argument: string) => refusedArgument(() => write(value), argument)

  test('what JSON would turn into something else', () => {
    const refused: unknown[] = [
      new Map([[1, 2]]),
      new Set([1]),
      new WeakMap(),
      new Error('lost'),
      Object.assign(new TypeError('lost'), { code: 'E' }),
      /x/,
      new Blob(['x']),
      [1][Symbol.iterator](),
      (function* () {})(),
      new WeakSet(),
      new ArrayBuffer(1),
      new SharedArrayBuffer(1),
      new DataView(new ArrayBuffer(1)),
      new Float64Array(1),
      Uint8Array.of(1),
      Buffer.from('x'),
      Promise.resolve(1),
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what this refuses
      { then: () => {} },
      new (class {
        // biome-ignore lint/suspicious/noThenProperty: a thenable is what this refuses
        then() {}
      })(),
      () => {},
      Symbol('s'),
      1n,
      Object(1n),
      Number.NaN,
      Number.POSITIVE_INFINITY,
      new Date(Number.NaN),
    ]
    for (const value of refused) {
      expect(() => write({ a: { b: [1, value] } })).toThrow(/events\[0\]\.payload\.a\.b\[1\]/)
      expect(() => write([value])).toThrow(/events\[0\]\.payload\[0\]/)
      expect(() => write(value)).toThrow(/events\[0\]\.payload/)
    }
    path({ a: { b: [0, 0, 0, new Map()] } }, 'events[0].payload.a.b[3]')
    path({ 'a b': [() => {}] }, 'events[0].payload["a b"][0]')
    path({ ok: { deep: [1] }, bad: 1n }, 'events[0].payload.bad')
    path(1n, 'events[0].payload')
  })

  test('undefined in an array, and a hole', () => {
    path([1, undefined], 'events[0].payload[1]')
    path({ a: new Array(1) }, 'events[0].payload.a[0]')
    path({ toJSON: () => undefined }, 'events[0].payload')
  })

  test('a cycle, but not the same object twice', () => {
    const loop: Record<string, unknown> = { a: {} }
    ;(loop.a as Record<string, unknown>).self = loop
    path(loop, 'events[0].payload.a.self')
    const shared = { x: 1 }
    expect(write([shared, shared])).toBe('[{"x":1},{"x":1}]')
  })

  test('nesting deeper than 1000 levels', () => {
    const nest = (levels: number) => {
      let value: unknown = 1
      for (let i = 0; i < levels; i++) value = [value]
      return value
    }
    expect(write(nest(1000))).toBe(JSON.stringify(nest(1000)))
    path(nest(1001), 'events[0].payload')
  })
})
