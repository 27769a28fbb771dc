import { describe, expect, test } from 'vitest'
import { Samples } from './samples.js'

const names = new Map([
  [10, 'JavaScript'],
  [11, 'writers'],
  [12, 'writers'],
])

function profile(lines: readonly string[]) {
  const samples = new Samples()
  for (const line of lines) samples.add(line)
  return samples.divide(2, names, 2)
}

describe('samples', () => {
  test('are summed by groups of threads, and divide what these spent, the busiest first', () => {
    const lines = ['   10  7f00aa sum', '11 7f00aa write', '12 7f00ab write', '12 7f00ac link']
    const [writers, main] = profile(lines)
    expect(writers).toMatchObject({ thread: 'writers', us: 1.5 })
    expect(writers?.functions).toEqual([
      { name: 'write', share: 2 / 3 },
      { name: 'link', share: 1 / 3 },
    ])
    expect(main).toMatchObject({ thread: 'JavaScript', us: 0.5 })
  })

  test('of threads without a name are told by whether they work for the store', () => {
    const lines = ['20 7f00aa tetralog_core::query::Read::batch', '21 7f00ab v8::internal::Run']
    expect(profile(lines).map(({ thread }) => thread)).toEqual(['pool', 'V8'])
  })

  test('of which no function is known count too', () => {
    const lines = ['10 7f00aa ', '10 7f00ab [unknown]', '11 7f00ac write', '11 7f00ac write']
    expect(profile(lines).map(({ us }) => us)).toEqual([1, 1])
  })

  test.each([
    ['LazyCompile:*next file:///home/me/store/dist/src/reading.js:12:3', 'next (reading.js)'],
    ['JS:~ file:///a/b.js:1:1', 'anonymous (b.js)'],
    ['a::tail::<impl a::index::tail::Tail>::write', 'a::tail::Tail::write'],
    ['<a::Tail as core::Write>::write::h0123456789abcdef', 'a::Tail::write'],
    ['a::names::Names<T>::find', 'a::names::Names::find'],
    ['v8::Scavenger::Scavenge(v8::Object)', 'v8::Scavenger::Scavenge'],
  ])('of %s are shown as %s', (symbol, shown) => {
    expect(profile([`10 7f00aa ${symbol}`])[0]?.functions[0]?.name).toBe(shown)
  })
})
