import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { countCommits, isAncestor, openRepository, type Range, readCommits } from './git.js'
import type { Commit } from './log-parser.js'
import { TemporaryRepository } from './temporary-repository.js'

async function history(folder: string, except: string[] = []): Promise<Commit[]> {
  const repository = await openRepository(folder)
  const range: Range = { head: repository.head ?? '', except }
  const commits: Commit[] = []
  for await (const commit of readCommits(repository, range, new AbortController().signal)) {
    commits.push(commit)
  }
  expect(await countCommits(repository, range)).toBe(commits.length)
  return commits
}

function told(commits: readonly Commit[]): string[] {
  return commits.flatMap(({ subject, changes }) =>
    changes.map(({ status, path }) => `${subject}: ${status} ${path}`),
  )
}

describe('reading a repository', () => {
  test('tells each file of each commit once, parents before children', async () => {
    using repository = new TemporaryRepository()
    repository.write('a', '1\n2\n3\n4\n')
    repository.commit('one')
    repository.git('mv', 'a', 'b')
    repository.commit('two')
    repository.git('rm', '--quiet', 'b')
    repository.write('c', 'c')
    repository.commit('three', 1000)
    expect(told(await history(repository.folder))).toEqual([
      'one: A a',
      'two: R b',
      'three: D b',
      'three: A c',
    ])
  })

  test('tells file names exactly, whatever their bytes are', async () => {
    using repository = new TemporaryRepository()
    const names = [' x ', '"q"', 'caf\xe9', 'new\nline', 'star*', 'tab\there', '\xc3\xa9']
    for (const name of names) repository.write(name, 'text\n')
    repository.commit('names')
    const [commit] = await history(repository.folder)
    expect(commit?.changes.map(({ path }) => path).sort()).toEqual(names.sort())
    expect(commit?.changes.every(({ added }) => added === 1)).toBe(true)
  })

  test('tells of a merge only what it changed itself', async () => {
    using repository = new TemporaryRepository()
    repository.write('both', 'base\n')
    repository.commit('base')
    repository.git('checkout', '--quiet', '-b', 'side')
    repository.write('side', 'side\n')
    repository.commit('on side')
    repository.git('checkout', '--quiet', 'main')
    repository.write('main', 'main\n')
    repository.commit('on main')
    repository.git('merge', '--quiet', '--no-commit', 'side')
    repository.write('by-merge', 'new\n')
    repository.commit('merge')
    repository.git('checkout', '--quiet', '-b', 'other', 'HEAD~1')
    repository.write('other', 'other\n')
    repository.commit('other')
    repository.git('merge', '--quiet', '-m', 'clean merge', 'main')
    const commits = await history(repository.folder)
    expect(told(commits).sort()).toEqual([
      'base: A both',
      'merge: A by-merge',
      'on main: A main',
      'on side: A side',
      'other: A other',
    ])
    expect(commits).toHaveLength(6)
  })

  test('is not changed by the settings of the user', async () => {
    using repository = new TemporaryRepository()
    repository.write('a', '1\n2\n3\n')
    repository.commit('one')
    repository.git('mv', 'a', 'b')
    repository.commit('two')
    const expected = await history(repository.folder)
    for (const [name, value] of [
      ['log.showRoot', 'false'],
      ['log.showSignature', 'true'],
      ['diff.renames', 'false'],
      ['diff.noPrefix', 'true'],
      ['color.ui', 'always'],
      ['log.decorate', 'full'],
      ['diff.external', 'false'],
    ] as const) {
      repository.git('config', name, value)
    }
    expect(await history(repository.folder)).toEqual(expected)
  })

  test('can leave out what was read before', async () => {
    using repository = new TemporaryRepository()
    repository.write('a', '1')
    const root = repository.commit('one')
    repository.write('a', '2')
    const second = repository.commit('two')
    expect(told(await history(repository.folder, [root]))).toEqual(['two: M a'])
    expect(told(await history(repository.folder, [`${second}^@`]))).toEqual(['two: M a'])
    expect(await history(repository.folder, [`${root}^@`])).toHaveLength(2)
    const opened = await openRepository(repository.folder)
    expect(await isAncestor(opened, root)).toBe(true)
    expect(await isAncestor(opened, 'f'.repeat(40))).toBe(false)
  })

  test('stops when it is told to', async () => {
    using repository = new TemporaryRepository()
    for (const name of ['a', 'b', 'c']) {
      repository.write(name, name)
      repository.commit(name)
    }
    const opened = await openRepository(repository.folder)
    const controller = new AbortController()
    controller.abort()
    const range = { head: opened.head ?? '', except: [] }
    for await (const _ of readCommits(opened, range, controller.signal)) break
  })
})

describe('opening a repository', () => {
  test('finds one without commits', async () => {
    using repository = new TemporaryRepository()
    expect((await openRepository(repository.folder)).head).toBeUndefined()
  })

  test('finds a bare one and a shallow one', async () => {
    using repository = new TemporaryRepository()
    repository.write('a', '1')
    repository.commit('one')
    repository.write('b', '2')
    const newest = repository.commit('two')
    const url = `file://${repository.folder}`
    repository.git('clone', '--quiet', '--bare', url, 'bare.git')
    repository.git('clone', '--quiet', '--depth=1', url, 'shallow')
    const bare = await openRepository(join(repository.folder, 'bare.git'))
    expect(bare.head).toBe(newest)
    expect(bare.key).toMatch(/^bare-[0-9a-f]{8}$/)
    expect(bare.shallowCommits.size).toBe(0)
    const shallow = await openRepository(join(repository.folder, 'shallow'))
    expect([...shallow.shallowCommits]).toEqual([newest])
    expect(told(await history(shallow.path))).toEqual(['two: A a', 'two: A b'])
  })

  test('says clearly that there is none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tetralog-no-repository-'))
    try {
      await expect(openRepository(folder)).rejects.toThrow('is not a git repository')
      await expect(openRepository(join(folder, 'x'))).rejects.toThrow('There is no folder')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
