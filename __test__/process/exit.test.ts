import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { run, start } from '../helpers/child.js'
import { openStore, temporaryFolder } from '../helpers/stores.js'

const OPEN = 'const store = await Store.open(process.argv[1])\n'

describe('a process', () => {
  test('ends by itself with an idle store open', async () => {
    const ended = await run(`${OPEN}console.log(await store.head())`, [temporaryFolder()])
    expect(ended).toMatchObject({ code: 0, stdout: '-1\n', stderr: '' })
  })

  test('ends by itself with an iterator that was left in the middle', async () => {
    const ended = await run(
      `${OPEN}
      await store.append([{ entity: 'a', fact: 'f' }, { entity: 'a', fact: 'g' }])
      const iterator = store.all()[Symbol.asyncIterator]()
      await iterator.next()`,
      [temporaryFolder()],
    )
    expect(ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('may change its directory while a store is open that was named relative to it', async () => {
    const [mine, other] = [temporaryFolder(), temporaryFolder()]
    const neighbour = await openStore(join(other, 'data'))
    await neighbour.append({ entity: 'neighbour', fact: 'f' })
    await neighbour.close()
    const ended = await run(
      `const [, mine, other] = process.argv
      process.chdir(mine)
      const opening = Store.open('data', { segmentMaxBytes: 1 << 20 })
      process.chdir(other)
      const store = await opening
      const payload = 'x'.repeat(100_000)
      for (let i = 0; i < 30; i++) await store.append({ entity: 'a', fact: 'f', payload })
      await store.close()`,
      [mine, other],
    )
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    const [own, others] = [
      await openStore(join(mine, 'data')),
      await openStore(join(other, 'data')),
    ]
    expect([await own.head(), own.damage]).toEqual([29, []])
    expect([await others.head(), others.damage]).toEqual([0, []])
    expect((await own.verify()).ok).toBe(true)
    await own.close()
    await others.close()
  })

  test('stays alive until its appends have settled', async () => {
    const folder = temporaryFolder()
    const ended = await run(
      `${OPEN}
      for (let i = 0; i < 100; i++) {
        store.append({ entity: 'a', fact: 'f' }).then(({ position }) => {
          if (position === 99) console.log('settled')
        })
      }`,
      [folder],
    )
    expect(ended).toMatchObject({ code: 0, stdout: 'settled\n', stderr: '' })
    expect(await (await openStore(folder)).head()).toBe(99)
  })

  test('that exits, throws or is killed has kept what was acknowledged', async () => {
    for (const end of [
      'process.exit(3)',
      "throw new Error('boom')",
      "process.kill(process.pid, 'SIGKILL')",
      "process.kill(process.pid, 'SIGTERM')",
      "process.on('exit', () => { store.appendSync({ entity: 'last', fact: 'f' }) }); process.exit(0)",
    ]) {
      const folder = temporaryFolder()
      await run(
        `${OPEN}
        for (let i = 0; i < 10; i++) await store.append({ entity: 'a', fact: 'f' })
        ${end}`,
        [folder],
      )
      const store = await openStore(folder)
      expect(await store.version('a')).toBe(9)
      expect(await store.exists('last')).toBe(end.includes('last'))
      expect((await store.verify()).ok).toBe(true)
      await store.close()
    }
  })

  test('killed in the middle of appending leaves a whole prefix', async () => {
    const folder = temporaryFolder()
    const program = start(
      `${OPEN}
      for (let i = 0; ; i++) {
        await store.append([{ entity: 'a', fact: 'f' }, { entity: 'b', fact: 'f' }])
        if (i === 50) console.log('go')
      }`,
      [folder],
    )
    await program.printed('go')
    program.process.kill('SIGKILL')
    await program.ended
    const store = await openStore(folder)
    expect(await store.version('a')).toBeGreaterThanOrEqual(50)
    expect(await store.version('a')).toBe(await store.version('b'))
    expect((await store.verify()).ok).toBe(true)
    await store.append({ entity: 'a', fact: 'f' })
  })

  test('can require() the package', async () => {
    const ended = await run(
      `import { createRequire } from 'node:module'
      const required = createRequire(import.meta.url)('tetralog')
      console.log(required.Store === Store)`,
    )
    expect(ended).toMatchObject({ code: 0, stdout: 'true\n' })
  })
})

describe('two processes', () => {
  test('cannot both write, and the second is told who does', async () => {
    const folder = temporaryFolder()
    const writer = start(`${OPEN}console.log('open')\nprocess.stdin.resume()`, [folder])
    await writer.printed('open')
    await expect(openStore(folder)).rejects.toMatchObject({
      code: 'ERR_LOCKED',
      pid: writer.process.pid,
    })
    writer.process.kill('SIGKILL')
    await writer.ended
    await openStore(folder)
  })

  test('share a store: the reader sees what is acknowledged, at once', async () => {
    const folder = temporaryFolder()
    const store = await openStore(folder)
    await store.append({ entity: 'a', fact: 'f0' })
    const reader = start(
      `const store = await Store.open(process.argv[1], { readOnly: true })
      console.log('open')
      for await (const _ of process.stdin) {
        console.log('head', await store.head(), await store.version('a'), (await store.all().toArray()).length)
      }`,
      [folder],
    )
    await reader.printed('open')
    for (let i = 1; i <= 5; i++) {
      await store.append({ entity: 'a', fact: `f${i}` })
      reader.process.stdin?.write('look\n')
      await reader.printed(`head ${i} ${i} ${i + 1}`)
    }
    reader.process.stdin?.end()
    expect(await reader.ended).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('worker threads', () => {
  test('cannot open a second writer, can read, and can end with a store open', async () => {
    const ended = await run(
      `import { Worker, isMainThread } from 'node:worker_threads'
      const folder = process.argv[1]
      const store = await Store.open(folder)
      await store.append({ entity: 'a', fact: 'f' })
      const worker = new Worker(
        \`import { Store } from 'tetralog'
        import { parentPort, workerData } from 'node:worker_threads'
        async function main() {
          const locked = await Store.open(workerData).catch((error) => error.code)
          const reader = await Store.open(workerData, { readOnly: true })
          parentPort.postMessage([locked, await reader.head()])
        }
        main()\`,
        { eval: true, workerData: folder },
      )
      worker.on('message', (message) => console.log(JSON.stringify(message)))
      await new Promise((resolve) => worker.on('exit', resolve))
      await store.append({ entity: 'a', fact: 'g' })
      await store.close()
      console.log('closed')`,
      [temporaryFolder()],
    )
    expect(ended).toMatchObject({ code: 0, stdout: '["ERR_LOCKED",0]\nclosed\n', stderr: '' })
  })

  test('that are terminated free the directory', async () => {
    const ended = await run(
      `import { Worker } from 'node:worker_threads'
      const folder = process.argv[1]
      const worker = new Worker(
        \`import { Store } from 'tetralog'
        import { parentPort, workerData } from 'node:worker_threads'
        Store.open(workerData).then(async (store) => {
          await store.append({ entity: 'a', fact: 'f' })
          globalThis.kept = store
          parentPort.postMessage('open')
          setInterval(() => {}, 1000)
        })\`,
        { eval: true, workerData: folder },
      )
      await new Promise((resolve) => worker.once('message', resolve))
      await worker.terminate()
      let store
      for (let i = 0; i < 50 && store === undefined; i++) {
        store = await Store.open(folder).catch((error) => {
          if (error.code !== 'ERR_LOCKED') throw error
          return new Promise((resolve) => setTimeout(resolve, 50))
        })
      }
      console.log(await store.head())`,
      [temporaryFolder()],
    )
    expect(ended).toMatchObject({ code: 0, stdout: '0\n', stderr: '' })
  })
})

describe('the garbage collector', () => {
  test('frees reads that were dropped in the middle, and the batches of detached events', async () => {
    const ended = await run(
      `${OPEN}
      const payload = new Uint8Array(900_000)
      for (let i = 0; i < 20; i++) await store.append({ entity: 'e' + i, fact: 'f', payload })
      const kept = []
      const refs = []
      async function drop() {
        const iterator = store.all()[Symbol.asyncIterator]()
        const { value } = await iterator.next()
        kept.push(value.detach().link)
        refs.push(new WeakRef(iterator))
      }
      async function settle() {
        for (let i = 0; i < 5; i++) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          globalThis.gc()
        }
      }
      for (let i = 0; i < 100; i++) await drop()
      await settle()
      const { arrayBuffers } = process.memoryUsage()
      const alive = refs.filter((ref) => ref.deref() !== undefined).length
      console.log(alive <= 2, arrayBuffers < 30_000_000, alive, arrayBuffers)`,
      [temporaryFolder()],
      ['--expose-gc'],
    )
    expect(ended.stdout).toMatch(/^true true/)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
  })

  test('frees stores that are closed', async () => {
    const ended = await run(
      `for (let i = 0; i < 200; i++) {
        const store = await Store.memory()
        await store.append({ entity: 'a', fact: 'f' })
        await store.close()
      }
      for (let i = 0; i < 3; i++) {
        globalThis.gc()
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      const { arrayBuffers, rss } = process.memoryUsage()
      console.log(arrayBuffers < 4e6, rss < 220e6, arrayBuffers, rss)`,
      [],
      ['--expose-gc'],
    )
    expect(ended.stdout).toMatch(/^true true/)
  })

  test('does not close a store, and crashes nothing when one is dropped open', async () => {
    const ended = await run(
      `for (let i = 0; i < 10; i++) {
        const store = await Store.memory()
        await store.append({ entity: 'a', fact: 'f' })
      }
      globalThis.gc()
      await new Promise((resolve) => setTimeout(resolve, 50))
      globalThis.gc()
      console.log('done')`,
      [],
      ['--expose-gc'],
    )
    expect(ended).toMatchObject({ code: 0, stdout: 'done\n', stderr: '' })
  })
})
