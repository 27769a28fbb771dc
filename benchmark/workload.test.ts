import { describe, expect, test } from 'vitest'
import { EventSource } from './workload.js'

describe('an event source', () => {
  test('makes the same events for the same seed, however they are asked for', () => {
    const batches = [...new EventSource().batches(250, 100)]
    expect(batches.map((batch) => batch.length)).toEqual([100, 100, 50])
    expect(batches.flat()).toEqual(new EventSource().next(250))
  })

  test('expects the versions that its own events lead to', () => {
    const versions = new Map<string, number>()
    for (const { entity, expect: expected } of new EventSource({ entities: 10 }).next(200)) {
      const version = versions.get(entity)
      expect(expected).toBe(version ?? 'none')
      versions.set(entity, (version ?? -1) + 1)
    }
  })

  test('gives every entity an event first, if asked to', () => {
    const source = new EventSource({ entities: 50, isEveryEntityFirst: true })
    expect(new Set(source.next(50).map(({ entity }) => entity)).size).toBe(50)
  })

  test('makes clocks that increase', () => {
    const clocks = new EventSource().next(300).map(({ clock }) => Buffer.from(clock as Uint8Array))
    expect(clocks).toEqual([...clocks].sort(Buffer.compare))
  })
})
