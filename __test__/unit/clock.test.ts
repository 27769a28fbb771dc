import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clock } from '../../src/clock.js'
import { refusedArgument } from '../helpers/refusals.js'

test('dates, milliseconds and nanoseconds give the same clock', () => {
  const ms = Date.UTC(2026, 10, 21)
  expect(clock.fromDate(new Date(ms))).toEqual(clock.fromMs(ms))
  expect(clock.fromMs(ms)).toEqual(clock.fromNs(BigInt(ms) * 1_000_000n))
  expect(clock.toDate(clock.fromMs(ms))).toEqual(new Date(ms))
  expect(clock.fromNs(1n)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1))
})

test('clocks keep nanoseconds, and order as their numbers do', () => {
  const ns = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  fc.assert(
    fc.property(ns, ns, (a, b) => {
      expect(clock.toNs(clock.fromNs(a))).toBe(a)
      expect(clock.compare(clock.fromNs(a), clock.fromNs(b))).toBe(a < b ? -1 : a > b ? 1 : 0)
    }),
  )
})

test('a fraction of a millisecond is kept', () => {
  expect(clock.toNs(clock.fromMs(1.5))).toBe(1_500_000n)
  expect(clock.toNs(clock.fromMs(0.000001))).toBe(1n)
})

test('a shorter prefix comes first', () => {
  expect(clock.compare(Uint8Array.of(1), Uint8Array.of(1, 0))).toBe(-1)
  expect(clock.compare(Uint8Array.of(2), Uint8Array.of(1, 0))).toBe(1)
  expect(clock.compare(new Uint8Array(0), new Uint8Array(0))).toBe(0)
})

test('what is no time is refused', () => {
  refusedArgument(() => clock.fromDate(new Date(Number.NaN)), 'date')
  refusedArgument(() => clock.fromDate(new Date(-1)), 'date')
  refusedArgument(() => clock.fromDate(5 as unknown as Date), 'date')
  for (const ms of [Number.NaN, -1, Number.POSITIVE_INFINITY, 2 ** 45]) {
    refusedArgument(() => clock.fromMs(ms), 'ms')
  }
  refusedArgument(() => clock.fromMs('5' as unknown as number), 'ms')
  refusedArgument(() => clock.fromNs(-1n), 'ns')
  refusedArgument(() => clock.fromNs(2n ** 64n), 'ns')
  refusedArgument(() => clock.fromNs(5 as unknown as bigint), 'ns')
  refusedArgument(() => clock.toDate(new Uint8Array(7)), 'clock')
  refusedArgument(() => clock.toNs('x' as unknown as Uint8Array), 'clock')
  refusedArgument(() => clock.compare(new Uint8Array(1), [1] as unknown as Uint8Array), 'b')
})
