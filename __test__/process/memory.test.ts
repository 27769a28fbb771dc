import { expect, test } from 'vitest'
import { run } from '../helpers/child.js'
import { temporaryFolder } from '../helpers/stores.js'

const DEADLINE_MS = 60_000

// After a collection, so that garbage that V8 has not looked at yet does not count.
const PROGRAM = `
  import { readFileSync } from 'node:fs'
  import { setTimeout } from 'node:timers/promises'
  const status = () => readFileSync('/proc/self/status', 'utf8')
  const anonymousMiB = () => Number(/RssAnon:\\s+(\\d+)/.exec(status())[1]) / 1024
  const store = await Store.open(process.argv[1], { durability: 'none' })
  let entity = 0
  const batch = () => Array.from({ length: 1000 }, () => ({ entity: 'entity:' + entity++, fact: 'f' }))
  async function memoryAfter(events) {
    while (entity < events) await Promise.all([store.append(batch()), store.append(batch())])
    await store.sync()
    for (let i = 0; i < 3; i++) await setTimeout(100, globalThis.gc())
    return anonymousMiB()
  }
  const [first, second] = process.argv.slice(2).map(Number)
  const before = await memoryAfter(first)
  const after = await memoryAfter(second)
  await store.close()
  console.log(JSON.stringify({ before, after }))
`

test.runIf(process.platform === 'linux')(
  'memory does not grow with the entities that are appended to, once the caches are full',
  { timeout: 2 * DEADLINE_MS },
  async () => {
    const events = ['450000', '750000']
    const ended = await run(PROGRAM, [temporaryFolder(), ...events], ['--expose-gc'], DEADLINE_MS)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    const { before, after } = JSON.parse(ended.stdout) as { before: number; after: number }
    // What is kept for an entity, a name and a head, has above 100 bytes: of 300,000, 30 MiB.
    expect(after - before).toBeLessThan(20)
  },
)

// What was read keeps a store's files open until it is collected, and nothing but memory makes V8 collect.
const CLOSED_STORES = `
  import { readdirSync } from 'node:fs'
  const [path, times] = [process.argv[1], Number(process.argv[2])]
  const store = await Store.open(path, { segmentMaxBytes: 1 << 20, durability: 'none' })
  const payload = Buffer.alloc(400_000)
  for (let i = 0; i < 40; i++) await store.append({ entity: 'e', fact: 'f', payload })
  await store.close()
  const segments = readdirSync(path + '/segments').filter((name) => name.endsWith('.seg')).length
  let most = 0
  for (let i = 0; i < times; i++) {
    const reader = await Store.open(path, { readOnly: true })
    for await (const event of reader.all()) event.fact
    most = Math.max(most, readdirSync('/proc/self/fd').length)
    await reader.close()
  }
  console.log(JSON.stringify({ segments, most }))
`

test.runIf(process.platform === 'linux')(
  'stores that are closed give their files back',
  async () => {
    const ended = await run(CLOSED_STORES, [temporaryFolder(), '100'], [], DEADLINE_MS)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    const { segments, most } = JSON.parse(ended.stdout) as { segments: number; most: number }
    expect(segments).toBeGreaterThan(10)
    expect(most).toBeLessThan(20 * segments)
  },
)
