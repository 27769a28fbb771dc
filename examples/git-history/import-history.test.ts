import { describe, expect, test } from 'vitest'
import { clock, Store } from '../../index.js'
import type { FileEvent } from './commit-events.js'
import { openRepository } from './git.js'
import { importHistory, type Progress } from './import-history.js'
import { TemporaryRepository } from './temporary-repository.js'

async function importInto(store: Store, repository: TemporaryRepository): Promise<Progress> {
  const opened = await openRepository(repository.folder)
  return importHistory(store, opened, { signal: new AbortController().signal })
}

async function told(store: Store): Promise<string[]> {
  const events = await store.all<FileEvent>().toArray()
  return events.map(({ payload, fact, entity }) => `${payload.subject}: ${fact} ${entity}`)
}

describe('importing a history', () => {
  test('makes one event of each file that a commit touched', async () => {
    using repository = new TemporaryRepository()
    repository.write('src/a.ts', '1\n2\n3\n')
    const hash = repository.commit('one', 1_600_000_000)
    repository.git('mv', 'src/a.ts', 'src/b.ts')
    repository.commit('two', 1_500_000_000)
    await using store = await Store.memory()
    expect(await importInto(store, repository)).toEqual({
      ...{ commits: 2, total: 2, added: 2, known: 0 },
    })
    const [added, renamed] = await store.all<FileEvent>().toArray()
    expect(added).toMatchObject({ entity: 'src/a.ts', fact: 'added', scope: 'src', version: 0 })
    expect(clock.toDate(added?.clock ?? new Uint8Array()).getTime()).toBe(1_600_000_000_000)
    expect(added?.payload).toEqual({
      ...{ commit: hash, author: 'Ann', email: 'ann@example.org', subject: 'one' },
      ...{ added: 3, deleted: 0 },
    })
    expect(renamed).toMatchObject({ entity: 'src/b.ts', fact: 'renamed' })
    expect(renamed?.payload).toMatchObject({ from: 'src/a.ts', added: 0, deleted: 0 })
  })

  test('appends nothing the second time, and only what is new the third time', async () => {
    using repository = new TemporaryRepository()
    for (const name of ['a', 'b']) {
      repository.write(name, name)
      repository.commit(name)
    }
    await using store = await Store.memory()
    await importInto(store, repository)
    expect(await importInto(store, repository)).toMatchObject({ commits: 1, added: 0, known: 1 })
    repository.write('a', 'more')
    repository.commit('c')
    expect(await importInto(store, repository)).toMatchObject({ commits: 2, added: 1, known: 1 })
    expect(await told(store)).toEqual(['a: added a', 'b: added b', 'c: modified a'])
  })

  test('reads all again when the history was rewritten, and appends what is new', async () => {
    using repository = new TemporaryRepository()
    for (const name of ['a', 'b']) {
      repository.write(name, name)
      repository.commit(name)
    }
    await using store = await Store.memory()
    await importInto(store, repository)
    repository.git('commit', '--quiet', '--amend', '-m', 'rewritten')
    expect(await importInto(store, repository)).toMatchObject({ commits: 2, added: 1, known: 1 })
    expect(await told(store)).toEqual(['a: added a', 'b: added b', 'rewritten: added b'])
  })

  test('goes on where an interrupted one stopped', async () => {
    using repository = new TemporaryRepository()
    for (let index = 0; index < 20; index += 1) {
      repository.write(`file-${index}`, String(index))
      repository.commit(`commit ${index}`)
    }
    await using store = await Store.memory()
    const controller = new AbortController()
    const stopped = await importHistory(store, await openRepository(repository.folder), {
      signal: controller.signal,
      onProgress: ({ commits }) => commits === 7 && controller.abort(),
    })
    expect(stopped.added).toBe(7)
    const { added, known } = await importInto(store, repository)
    expect([added, known]).toEqual([13, 1])
    expect(new Set(await told(store)).size).toBe(20)
  })

  test('stores a commit of many files in several appends, once', async () => {
    using repository = new TemporaryRepository()
    for (let index = 0; index < 2500; index += 1) repository.write(`d/${index}`, `${index}\n`)
    repository.commit('large')
    await using store = await Store.memory()
    expect((await importInto(store, repository)).added).toBe(2500)
    expect(await importInto(store, repository)).toMatchObject({ added: 0, known: 2500 })
    expect(await store.query({ scope: 'd/*' }).count()).toBe(2500)
  })

  test('copes with strange file names and with the beginning of time', async () => {
    using repository = new TemporaryRepository()
    const names = ['caf\xe9', 'new\nline', 'star*', '100%', `${'long/'.repeat(210)}name`]
    for (const name of names) repository.write(name, 'x')
    repository.commit('strange', 0)
    await using store = await Store.memory()
    expect((await importInto(store, repository)).added).toBe(names.length)
    for (const entity of ['caf%E9', 'new\nline', 'star%2A', '100%25']) {
      expect(await store.exists(entity)).toBe(true)
    }
    const long = await store.query<FileEvent>({ scope: 'long/*' }).first()
    expect(long?.payload.path).toBe(names.at(-1))
    expect(await store.query().until(new Date(0)).count()).toBe(names.length)
  })

  test('finds nothing in a repository without commits', async () => {
    using repository = new TemporaryRepository()
    await using store = await Store.memory()
    expect(await importInto(store, repository)).toMatchObject({ commits: 0, added: 0 })
    expect(await store.head()).toBe(-1)
  })

  test('refuses a store that was filled from a shallow clone with more history now', async () => {
    using repository = new TemporaryRepository()
    using place = new TemporaryRepository()
    for (const name of ['a', 'b', 'c']) {
      repository.write(name, name)
      repository.commit(name)
    }
    place.git('clone', '--quiet', '--depth=2', `file://${repository.folder}`, 'clone')
    const options = { signal: new AbortController().signal }
    const clone = `${place.folder}/clone`
    await using store = await Store.memory()
    const first = await importHistory(store, await openRepository(clone), options)
    expect(first).toMatchObject({ commits: 2, added: 3 })
    place.git('-C', 'clone', 'fetch', '--quiet', '--unshallow')
    const deepened = await openRepository(clone)
    await expect(importHistory(store, deepened, options)).rejects.toThrow('shallow clone')
  })
})
