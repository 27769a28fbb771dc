import { describe, expect, test } from 'vitest'
import { type Commit, LogParser } from './log-parser.js'

const hash = 'a'.repeat(40)
const blob = `100644 100644 ${'b'.repeat(40)} ${'c'.repeat(40)}`

function header(changes: Partial<Record<'parents' | 'time' | 'author' | 'subject', string>> = {}) {
  const { parents = '', time = '1700000000', author = 'Ann', subject = 'first' } = changes
  return [
    'commit ',
    hash,
    '\0',
    [parents, time, author, 'ann@example.org', subject].join('\0'),
    '\0',
  ].join('')
}

/** Parses the text, which is one character for each byte, in pieces of the given size. */
function parse(text: string, size = text.length): Commit[] {
  const parser = new LogParser()
  const commits: Commit[] = []
  const bytes = Buffer.from(text, 'latin1')
  for (let start = 0; start < bytes.length; start += size) {
    commits.push(...parser.push(bytes.subarray(start, start + size)))
  }
  return [...commits, ...parser.end()]
}

describe('the parser of git log', () => {
  test('reads a commit with its files and their line counts', () => {
    const [commit, ...others] = parse(
      `${header()}\n:${blob} M\0a\0:${blob} A\0b\0${'1\t2\ta\0'}-\t-\tb\0`,
    )
    expect(others).toEqual([])
    expect(commit).toEqual({
      hash,
      parents: [],
      time: 1_700_000_000,
      author: 'Ann',
      email: 'ann@example.org',
      subject: 'first',
      changes: [
        { status: 'M', path: 'a', added: 1, deleted: 2 },
        { status: 'A', path: 'b' },
      ],
    })
  })

  test('reads the same whatever the pieces are in which the bytes arrive', () => {
    const rename = `\n:${blob} R087\0old\nname\0new\tname\0${'3\t4\t\0'}old\nname\0new\tname\0`
    const text = `${header()}${header({ author: '' })}${rename}${header({ subject: '' })}`
    const expected = parse(text)
    expect(expected).toHaveLength(3)
    for (let size = 1; size < 60; size += 1) expect(parse(text, size)).toEqual(expected)
  })

  test('keeps both names of a rename', () => {
    const [commit] = parse(`${header()}\n:${blob} R100\0old\0new\0${'0\t0\t\0'}old\0new\0`)
    expect(commit?.changes).toEqual([
      { status: 'R', path: 'new', from: 'old', added: 0, deleted: 0 },
    ])
  })

  test('is not misled by file names that look like something else', () => {
    const names = [`:${blob} M`, 'commit x', '1\t2\tx', '\n', ' ', '\xe9']
    const raws = names.map((name) => `:${blob} A\0${name}\0`)
    const counts = names.map((name, index) => `${index}\t0\t${name}\0`)
    const [commit] = parse(`${header()}\n${raws.join('')}${counts.join('')}`)
    expect(commit?.changes.map(({ path, added }) => [path, added])).toEqual(
      names.map((name, index) => [name, index]),
    )
  })

  test('takes of a merge only what differs from all parents', () => {
    const merge = `::100644 ${blob} ${'d'.repeat(40)}`
    const counts = `${'5\t6\tboth\0'}7\t8\tonly\0`
    const [commit] = parse(`${header({ parents: 'p q' })}\0${counts}${merge} MM\0both\0`)
    expect(commit?.parents).toEqual(['p', 'q'])
    expect(commit?.changes).toEqual([{ status: 'M', path: 'both', added: 5, deleted: 6 }])
  })

  test('calls what a merge did differently for its parents a modification', () => {
    const merge = (letters: string) => `\n::100644 ${blob} ${'d'.repeat(40)} ${letters}\0f\0`
    expect(parse(`${header()}${merge('AM')}`)[0]?.changes[0]?.status).toBe('M')
    expect(parse(`${header()}${merge('DD')}`)[0]?.changes[0]?.status).toBe('D')
  })

  test('gives nothing for nothing', () => {
    expect(parse('')).toEqual([])
  })

  test('refuses output that ends in the middle of a commit', () => {
    const text = `${header()}\n:${blob} M\0a\0`
    expect(() => parse(text.slice(0, -2))).toThrow('in the middle')
    expect(() => parse(text.slice(0, 60))).toThrow('in the middle')
  })

  test('refuses what it does not understand', () => {
    expect(() => parse(`${header()}\nwarning: x\0`)).toThrow('cannot be understood')
  })
})
