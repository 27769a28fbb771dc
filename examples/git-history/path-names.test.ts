import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { entityOf, escapePath, scopeOf, unescapePath } from './path-names.js'

/** A path as git gives it: one character for each byte. */
function raw(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

describe('a path', () => {
  test('that is plain stays as it is', () => {
    expect(escapePath(raw('src/a b/c.ts'))).toBe('src/a b/c.ts')
    expect(escapePath(raw('ünïcode/日本語/😀'))).toBe('ünïcode/日本語/😀')
    expect(escapePath(raw('tab\tnew\nline"quote'))).toBe('tab\tnew\nline"quote')
  })

  test('keeps a byte order mark and is not normalised', () => {
    expect(escapePath(raw('\uFEFFa'))).toBe('\uFEFFa')
    expect(escapePath(raw('e\u0301'))).toBe('e\u0301')
  })

  test('in another encoding has its bytes escaped', () => {
    expect(escapePath('caf\xe9/x')).toBe('caf%E9/x')
    expect(escapePath(`${raw('日')}\xff${raw('本')}`)).toBe('日%FF本')
    expect(escapePath('\xed\xa0\x80')).toBe('%ED%A0%80')
    expect(escapePath('\xc3')).toBe('%C3')
  })

  test('with a percent sign cannot be taken for an escaped one', () => {
    expect(escapePath('caf%E9')).toBe('caf%25E9')
    expect(escapePath('caf%\xe9')).toBe('caf%25%E9')
  })

  test('has stars escaped at the end of its parts only', () => {
    expect(escapePath('a*b')).toBe('a*b')
    expect(escapePath('a*')).toBe('a%2A')
    expect(escapePath('a*/b**')).toBe('a%2A/b*%2A')
  })

  test('is turned back exactly, whatever its bytes are', () => {
    const byte = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code))
    const piece = fc.oneof(byte, fc.constantFrom('%', '*', '/', '%2A', '\xe9', raw('é')))
    fc.assert(
      fc.property(
        fc.array(piece).map((pieces) => pieces.join('')),
        (path) => {
          const text = escapePath(path)
          expect(text.isWellFormed()).toBe(true)
          expect(text.endsWith('*')).toBe(false)
          expect(unescapePath(text)).toBe(path)
        },
      ),
    )
  })
})

describe('the entity of a path', () => {
  test('of 1024 bytes is the path itself', () => {
    const path = 'é'.repeat(512)
    expect(entityOf(raw(path))).toBe(path)
  })

  test('of more bytes is cut, and told apart by a hash', () => {
    const [a, b] = [entityOf(raw(`${'é'.repeat(600)}a`)), entityOf(raw(`${'é'.repeat(600)}b`))]
    expect(a).toMatch(/^é{479}%#[0-9a-f]{64}$/)
    expect(Buffer.byteLength(a)).toBeLessThanOrEqual(1024)
    expect(a).not.toBe(b)
  })

  test('is never cut inside an escape', () => {
    for (let length = 950; length < 962; length += 1) {
      expect(entityOf(`${'x'.repeat(length)}${'\xff'.repeat(600)}`)).toMatch(
        /^x+(%FF)*%#[0-9a-f]{64}$/,
      )
    }
  })
})

describe('the scope of a path', () => {
  test('is its directory', () => {
    expect(scopeOf('a/b/c.ts')).toBe('a/b')
    expect(scopeOf('c.ts')).toBe('')
  })

  test('stays below the scope of the directory above, whatever the names are', () => {
    expect(scopeOf('a*/b\xff/c')).toBe('a%2A/b%FF')
    expect(scopeOf('a*/c')).toBe('a%2A')
  })
})
