// What an application sees when the disk fails, or the engine itself: with the real addon, on a disk that fails
// on request.
import { createRequire } from 'node:module'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { run } from '../helpers/child.js'
import { addonWithFaults, drill, EDQUOT, EIO, ENOSPC, type Fault, PANIC } from '../helpers/drill.js'
import { temporaryFolder } from '../helpers/stores.js'

vi.setConfig({ testTimeout: 90_000 })
// Building it may take a while.
beforeAll(addonWithFaults, 600_000)

const POISONED = 'ERR_POISONED unknown'
const LOG = '.seg'
const FOREVER = 1_000_000

/** What is true of every failure of the log. */
const poisoned = {
  reasons: [POISONED],
  later: [POISONED, POISONED],
  readable: true,
  closed: POISONED,
  missing: 0,
  halves: 0,
  verified: true,
}
/** What is true where nothing has failed. */
const unharmed = {
  ...poisoned,
  rejected: 0,
  reasons: [],
  later: ['nothing', 'nothing'],
  closed: 'nothing',
}

async function poisons(fault: Fault, options = {}): Promise<void> {
  const found = await drill(fault, options)
  expect(found).toMatchObject({ ...poisoned, reopened: ['nothing'], unmet: 0 })
  expect(found.rejected).toBeGreaterThan(0)
  expect(found.events).toBe(found.appended)
}

describe('a panic', () => {
  test.each<[string, Fault, object]>([
    ['in a write', { operation: 'write_at', path: LOG, errno: PANIC }, {}],
    [
      'in a store into mapped memory',
      { operation: 'store', path: LOG, errno: PANIC },
      { durability: 'none' },
    ],
    ['in a sync', { operation: 'sync', path: LOG, errno: PANIC }, {}],
    [
      'in a sync that nobody waits for',
      { operation: 'sync', path: LOG, errno: PANIC },
      { durability: 'interval', fsyncIntervalMs: 1 },
    ],
    [
      'in the next write after some',
      { operation: 'write_at', path: LOG, errno: PANIC, skip: 3 },
      {},
    ],
    ['in the keeper, which allocates', { operation: 'allocate', path: LOG, errno: PANIC }, {}],
    ['in the keeper, at the manifest', { operation: 'rename', path: 'MANIFEST', errno: PANIC }, {}],
    ['in the keeper, at an index', { operation: 'open', path: '/runs/', errno: PANIC }, {}],
    ['in storing HEAD', { operation: 'write_at', path: 'HEAD', errno: PANIC, times: 2 }, {}],
  ])(
    '%s rejects what is pending, and the next opener finds all that was acknowledged',
    (_, fault, options) => poisons(fault, options),
  )

  test('in closing frees the directory all the same', async () => {
    const ended = await run(
      `import { createRequire } from 'node:module'
      const faults = createRequire(import.meta.url)(process.env.NAPI_RS_NATIVE_LIBRARY_PATH)
      const [, folder] = process.argv
      for (const durability of ['none', 'sync']) {
        for (const operation of ['sync', 'write_at', 'release', 'remove']) {
          const store = await Store.open(folder, { durability })
          await store.append({ entity: 'a', fact: 'f' })
          faults.injectFault(operation, '', 0, 0, 1)
          const closed = await store.close().then(() => undefined, ({ code }) => code)
          if (closed !== undefined && closed !== 'ERR_POISONED') console.log(operation, closed)
          faults.clearFaults()
        }
      }
      const store = await Store.open(folder)
      console.log(await store.head(), (await store.verify()).ok)
      await store.close()`,
      [temporaryFolder()],
      [],
      60_000,
      { NAPI_RS_NATIVE_LIBRARY_PATH: await addonWithFaults() },
    )
    expect(ended).toMatchObject({ code: 0, stdout: '7 true\n' })
  })

  test('in opening rejects it, and the next try works', async () => {
    const found = await drill({ operation: 'sync', path: LOG, errno: PANIC, times: FOREVER })
    expect(found).toMatchObject({ ...poisoned, reopened: [POISONED, 'nothing'] })
    expect(found.events).toBe(found.appended)
  })
})

describe('an error', () => {
  test.each<[string, Fault, object]>([
    ['of a write that wrote a half', { operation: 'write_at', path: LOG, errno: EIO }, {}],
    ['of a write, for want of space', { operation: 'write_at', path: LOG, errno: ENOSPC }, {}],
    ['of a sync, once', { operation: 'sync', path: LOG, errno: EIO }, {}],
    ['of a sync, for want of space', { operation: 'sync', path: LOG, errno: ENOSPC }, {}],
    [
      'of a sync that nobody waits for',
      { operation: 'sync', path: LOG, errno: EIO },
      { durability: 'interval', fsyncIntervalMs: 1 },
    ],
    [
      'of a sync every so many bytes',
      { operation: 'sync', path: LOG, errno: EIO },
      { durability: 'none' },
    ],
    ['of a rename', { operation: 'rename', path: 'MANIFEST', errno: EIO }, {}],
    ['of the sync of a directory', { operation: 'sync_dir', path: 'segments', errno: EIO }, {}],
  ])(
    '%s rejects what is pending, and the next opener finds all that was acknowledged',
    (_, fault, options) => poisons(fault, options),
  )

  test('that lasts fails the next opening too, which says so, until the disk works', async () => {
    const found = await drill({ operation: 'sync', path: LOG, errno: EIO, times: FOREVER })
    expect(found).toMatchObject({ ...poisoned, reopened: ['ERR_IO false', 'nothing'] })
    expect(found.events).toBe(found.appended)
  })

  test.each<[string, Fault]>([
    ['of an index', { operation: 'rename', path: '/runs/', errno: EIO, times: FOREVER }],
    ['of HEAD', { operation: 'write_at', path: 'HEAD', errno: EIO, times: FOREVER }],
    ['of giving space back', { operation: 'release', path: LOG, errno: EIO, times: FOREVER }],
  ])('%s harms nothing', async (_, fault) => {
    const found = await drill(fault)
    expect(found).toMatchObject(unharmed)
    expect(found.unmet).toBeLessThan(FOREVER)
    expect(found.events).toBe(found.appended)
  })
})

test.each([
  ['there is no space', ENOSPC],
  ['a quota is used up', EDQUOT],
])(
  'where %s for a segment, appends are refused until there is, and reads go on',
  async (_, errno) => {
    const found = await drill({ operation: 'allocate', path: LOG, errno, times: FOREVER })
    const full = 'ERR_DISK_FULL false'
    const later = [full, found.later[1]]
    expect(found).toMatchObject({ ...unharmed, rejected: found.rejected, reasons: [full], later })
    expect(found.rejected).toBeGreaterThan(0)
    expect(found.events).toBe(found.appended)
  },
)

test('a panic in a native call is an error of that call, of the code that is translated', async () => {
  const ended = await run(
    `import { createRequire } from 'node:module'
    const faults = createRequire(import.meta.url)(process.env.NAPI_RS_NATIVE_LIBRARY_PATH)
    try { faults.panicNow() } catch (error) { console.log(error.code, error.message) }`,
    [],
    [],
    60_000,
    { NAPI_RS_NATIVE_LIBRARY_PATH: await addonWithFaults() },
  )
  expect(ended).toMatchObject({ code: 0, stdout: 'GenericFailure as the test has asked for\n' })
})

test('the addon that is published can make nothing fail', () => {
  const published = createRequire(import.meta.url)('../../binding.cjs') as object
  expect(Object.keys(published)).not.toContain('injectFault')
})
