// Threads that come and go, processes that end in the middle of appending, and stores that nobody closes. The long
// form, TETRALOG_PROOF=full, takes thousands of them.
import { describe, expect, test } from 'vitest'
import { run } from '../helpers/child.js'
import { openStore, temporaryFolder } from '../helpers/stores.js'

const isFull = process.env.TETRALOG_PROOF === 'full'
const DEADLINE_MS = isFull ? 3_600_000 : 120_000

describe('worker threads', () => {
  const threads = isFull ? 5000 : 200

  test(
    `that open, append and are terminated, ${threads} of them, crash nothing and lose nothing`,
    async () => {
      const folder = temporaryFolder()
      const ended = await run(
        `import { Worker } from 'node:worker_threads'
      const [, folder, count] = process.argv
      const WORK = \`
        import { Store } from 'tetralog'
        import { parentPort, workerData } from 'node:worker_threads'
        const { folder, nth } = workerData
        async function main() {
          const memory = await Store.memory()
          memory.append({ entity: 'm', fact: 'f' })
          const store = await Store.open(folder)
          parentPort.postMessage('open')
          for (let i = 0; ; i++) {
            const events = [0, 1].map((k) => ({ entity: 'w' + k, fact: 'f', payload: nth }))
            const receipt = await (i % 3 === 0 ? store.append(events, { durability: 'sync' }) : store.append(events))
            parentPort.postMessage(receipt.lastPosition)
            for await (const event of store.all({ backwards: true, limit: 50 })) event.payload
            if (nth % 10 === 0 && i === 3) await store.close()
            if (nth % 10 === 1 && i === 3) process.exit()
            if (nth % 10 === 2 && i === 3) throw new Error('uncaught')
          }
        }
        main().catch((error) => {
          if (error.code !== 'ERR_LOCKED' && error.code !== 'ERR_CLOSED') throw error
        })
      \`
      let highest = -1
      let opened = 0
      let failure
      async function life(nth) {
        // Two lanes share a folder: one of them is refused, or comes just after the other has gone.
        const options = { eval: true, workerData: { folder: folder + '/' + nth % 2, nth }, stderr: true }
        const worker = new Worker(WORK, options)
        worker.on('error', (error) => { if (error.message !== 'uncaught') failure = error })
        const isOpen = new Promise((resolve) => {
          worker.on('message', (message) => {
            if (message === 'open') {
              opened++
              resolve()
            } else if (nth % 2 === 0) highest = Math.max(highest, message)
          })
        })
        const exited = new Promise((resolve) => worker.once('exit', resolve))
        const passed = () => new Promise((resolve) => setTimeout(resolve, nth * 7919 % 60))
        // Most in the middle of appending; some while they start or open.
        await Promise.race([exited, nth % 5 === 0 ? passed() : isOpen.then(passed)])
        await worker.terminate()
        await exited
      }
      async function lane(first) {
        for (let nth = first; nth < Number(count); nth += 3) await life(nth)
      }
      await Promise.all([0, 1, 2].map(lane))
      if (failure !== undefined) throw failure
      console.log(JSON.stringify({ highest, opened }))`,
        [folder, String(threads)],
        [],
        DEADLINE_MS,
      )
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      const { highest, opened } = JSON.parse(ended.stdout) as { highest: number; opened: number }
      expect(opened).toBeGreaterThan(threads / 10)
      for (const nth of [0, 1]) {
        const store = await openStore(`${folder}/${nth}`)
        if (nth === 0) expect(await store.head()).toBeGreaterThanOrEqual(highest)
        expect(await store.version('w0')).toBe(await store.version('w1'))
        expect(store.damage).toEqual([])
        expect((await store.verify()).ok).toBe(true)
      }
    },
    DEADLINE_MS,
  )
})

describe('a process that ends in the middle of appending', () => {
  const rounds = isFull ? 200 : 4
  const ends = {
    'by process.exit()': 'process.exit(7)',
    'by an uncaught error': "throw new Error('uncaught')",
    'by an unhandled rejection': "Promise.reject(new Error('unhandled'))",
    'by process.exit() in a callback of an append':
      "store.append({ entity: 'last', fact: 'f' }).then(() => process.exit(7))",
    'by process.exit() while it closes': 'store.close(); process.exit(7)',
  }

  test.each(Object.entries(ends))(
    '%s has kept what was acknowledged',
    async (_, end) => {
      for (let round = 0; round < rounds; round++) {
        const folder = temporaryFolder()
        const durability = ['sync', 'interval', 'none'][round % 3]
        const ended = await run(
          `import { writeSync } from 'node:fs'
        const [, folder, durability, ms] = process.argv
        const store = await Store.open(folder, { durability })
        let appended = 0
        async function caller(nth) {
          for (;;) {
            const receipt = await store.append([0, 1].map((k) => ({ entity: 'e' + k, fact: 'f', payload: nth })))
            writeSync(1, receipt.lastPosition + '\\n')
          }
        }
        setTimeout(() => { ${end} }, Number(ms))
        await Promise.all(Array.from({ length: 8 }, (_, nth) => caller(nth)))`,
          [folder, durability as string, String(20 + ((round * 37) % 60))],
        )
        expect(ended.signal).toBeNull()
        expect([1, 7]).toContain(ended.code)
        const highest = Math.max(-1, ...ended.stdout.trim().split('\n').map(Number))
        const store = await openStore(folder)
        expect(await store.head()).toBeGreaterThanOrEqual(highest)
        expect(await store.version('e0')).toBe(await store.version('e1'))
        expect((await store.verify()).ok).toBe(true)
        await store.close()
      }
    },
    DEADLINE_MS,
  )
})

describe('a store that nobody closes', () => {
  test(
    'is collected when its appends have settled, and its directory is free again',
    async () => {
      const folder = temporaryFolder()
      const ended = await run(
        `const [, folder] = process.argv
      async function forget(nth) {
        const store = await open(nth)
        const settled = Array.from({ length: 50 }, () => store.append({ entity: 'e', fact: 'f' }))
        for await (const _ of store.all()) break
        return settled.length
      }
      async function open(nth) {
        for (let i = 0; i < 200; i++) {
          try { return await Store.open(folder + '/' + nth % 3) } catch (error) {
            if (error.code !== 'ERR_LOCKED') throw error
            globalThis.gc()
            await new Promise((resolve) => setTimeout(resolve, 10))
          }
        }
        throw new Error('still locked')
      }
      for (let nth = 0; nth < 30; nth++) await forget(nth)
      for (let nth = 0; nth < 3; nth++) {
        const store = await open(nth)
        console.log(await store.head(), (await store.verify()).ok)
      }`,
        [folder],
        ['--expose-gc'],
        DEADLINE_MS,
      )
      expect(ended).toMatchObject({ code: 0, stdout: '499 true\n'.repeat(3), stderr: '' })
    },
    DEADLINE_MS,
  )
})
