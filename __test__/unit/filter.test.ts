import { describe, expect, test } from 'vitest'
import { checkFilters, writeFilters } from '../../src/filter.js'
import { Packer } from '../../src/packer.js'
import { PackedReader, readFilters } from '../helpers/packed.js'
import { refusedArgument } from '../helpers/refusals.js'

function pack(filter: unknown): Record<string, unknown>[] {
  const packer = new Packer()
  writeFilters(packer, checkFilters(filter, 'filter'))
  return readFilters(new PackedReader(packer.written()))
}

describe('a filter', () => {
  test('packs every coordinate', () => {
    expect(
      pack({
        entity: ['user:*', { exact: 'a*' }, { prefix: 'b' }],
        fact: 'created',
        scope: { exact: 'x' },
        clock: { from: new Date(1), to: Uint8Array.of(2), before: Uint8Array.of(3) },
        tags: { any: ['a'], all: ['b', 'c'] },
      }),
    ).toEqual([
      {
        entity: [
          [0, 'user:*'],
          [1, 'a*'],
          [2, 'b'],
        ],
        fact: ['created'],
        scope: [[1, 'x']],
        clock: { from: '00000000000f4240', to: '02', before: '03' },
        any: ['a'],
        all: ['b', 'c'],
      },
    ])
  })

  test('without coordinates is everything, an empty list nothing', () => {
    expect(pack({})).toEqual([{}])
    expect(pack([])).toEqual([{ fact: [] }])
    expect(pack({ fact: [] })).toEqual([{ fact: [] }])
    expect(pack([{ fact: 'a' }, {}])).toEqual([{ fact: ['a'] }, {}])
  })

  test('is a copy', () => {
    const bytes = Uint8Array.of(1)
    const fact = ['a']
    const [filter] = checkFilters({ fact, clock: { from: bytes } }, 'filter')
    bytes[0] = 9
    fact.push('b')
    expect(filter).toEqual({ fact: ['a'], clock: { from: Uint8Array.of(1) } })
    expect(Object.isFrozen(filter)).toBe(true)
  })

  test('with an explicit undefined is refused: it would mean everything', () => {
    for (const key of ['entity', 'fact', 'scope', 'clock', 'tags']) {
      refusedArgument(() => pack({ [key]: undefined }), `filter.${key}`)
      refusedArgument(() => pack([{}, { [key]: undefined }]), `filter[1].${key}`)
    }
    refusedArgument(() => pack({ clock: { from: undefined } }), 'filter.clock.from')
    refusedArgument(() => pack({ tags: { all: undefined } }), 'filter.tags.all')
    refusedArgument(() => pack({ entity: ['a', undefined] }), 'filter.entity[1]')
    refusedArgument(() => pack({ entity: { exact: undefined } }), 'filter.entity.exact')
  })

  test('of a wrong form is refused', () => {
    for (const filter of [null, 'x', 5, () => {}]) refusedArgument(() => pack(filter), 'filter')
    expect(refusedArgument(() => pack({ entitiy: 'a' }), 'filter.entitiy')).toMatchObject({
      suggestion: 'entity',
    })
    refusedArgument(() => pack({ entity: 5 }), 'filter.entity')
    refusedArgument(() => pack({ entity: {} }), 'filter.entity')
    refusedArgument(() => pack({ entity: { exact: 'a', prefix: 'b' } }), 'filter.entity')
    refusedArgument(() => pack({ entity: { exat: 'a' } }), 'filter.entity.exat')
    refusedArgument(() => pack({ fact: { exact: 'a' } }), 'filter.fact')
    refusedArgument(() => pack({ fact: ['\ud800'] }), 'filter.fact[0]')
    for (const clock of [new Date(), Uint8Array.of(1)]) {
      refusedArgument(() => pack({ clock }), 'filter.clock')
    }
    for (const none of [new Map(), Promise.resolve({})]) refusedArgument(() => pack(none), 'filter')
    refusedArgument(() => pack({ tags: ['a'] }), 'filter.tags')
    refusedArgument(() => pack({ tags: { all: 'a' } }), 'filter.tags.all')
    refusedArgument(() => pack({ tags: { none: ['a'] } }), 'filter.tags.none')
    refusedArgument(() => pack([[]]), 'filter[0]')
  })
})
