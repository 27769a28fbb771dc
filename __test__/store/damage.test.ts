// Damaged stores: what they say of themselves, and what repairing makes of them.
import { createHash } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Store } from '../../index.js'
import { openStore, temporaryFolder } from '../helpers/stores.js'

const SEGMENT = join('segments', '0000000001.seg')

async function orders(): Promise<string> {
  const path = temporaryFolder()
  const store = await openStore(path)
  for (let n = 0; n < 5; n++) {
    await store.append({ entity: `order:${n % 2}`, fact: 'placed', payload: { text: `note ${n}` } })
  }
  await store.close()
  return path
}

/** Changes the first byte of a text in a file. */
function bend(file: string, text: string): void {
  const bytes = readFileSync(file)
  const at = bytes.indexOf(text)
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(file, bytes)
}

test('a damaged store opens read-only, and repair puts a changed byte right', async () => {
  const path = await orders()
  const file = join(path, SEGMENT)
  const before = readFileSync(file)
  bend(file, 'note 2')
  const bent = readFileSync(file)

  const store = await openStore(path)
  expect(store.readOnly).toBe(true)
  const report = await store.verify()
  expect(report).toMatchObject({ ok: false, events: 4 })
  expect(report.damage[0]).toMatchObject({
    segment: 1,
    positions: { from: 2, to: 2 },
    entities: ['order:0'],
  })
  expect((await store.verify({ entity: 'order:1' })).ok).toBe(true)
  await expect(store.all().toArray()).rejects.toMatchObject({
    code: 'ERR_CORRUPT',
    message: expect.stringContaining(
      'position 2 cannot be read; reading can go on from position 3',
    ),
  })
  await store.close()

  const seen: number[] = []
  const plan = await Store.repair(path, {
    dryRun: true,
    onProgress: ({ share }) => seen.push(share),
  })
  expect(plan).toMatchObject({ dryRun: true, events: 5, kept: undefined })
  expect(plan.lost).toEqual({ events: 0, whole: 0 })
  expect(plan.steps.map((step) => step.action)).toEqual(['correct'])
  expect(readFileSync(file).equals(bent)).toBe(true)

  const done = await Store.repair(path)
  expect(done.steps).toEqual(plan.steps)
  expect(readFileSync(file).equals(before)).toBe(true)
  expect(readFileSync(join(done.kept as string, SEGMENT)).equals(bent)).toBe(true)
  const repaired = await openStore(path)
  expect((await repaired.verify()).ok).toBe(true)
  expect((await repaired.append({ entity: 'order:9', fact: 'placed' })).position).toBe(5)
})

test('where bytes are gone, repair says what it costs before it cuts the log', async () => {
  const path = await orders()
  const file = join(path, SEGMENT)
  const bytes = readFileSync(file)
  const at = bytes.indexOf('note 2')
  bytes.fill(0, at - 30, at + 10)
  writeFileSync(file, bytes)

  const plan = await Store.repair(path, { dryRun: true })
  expect(plan.lost).toEqual({ events: 3, whole: 2, positions: { from: 2, to: 4 } })
  expect(plan.steps.map((step) => step.action)).toEqual(['cut', 'manifest'])
  const done = await Store.repair(path)
  expect(done.events).toBe(2)
  const store = await openStore(path)
  expect(await store.head()).toBe(1)
  expect((await store.verify()).ok).toBe(true)
})

test('repair refuses what it must not touch', async () => {
  const path = await orders()
  const store = await openStore(path)
  await expect(Store.repair(path)).rejects.toMatchObject({ code: 'ERR_LOCKED' })
  await store.close()
  await expect(Store.repair(join(path, 'none'))).rejects.toMatchObject({ code: 'ERR_IO' })
  await expect(Store.repair(temporaryFolder())).rejects.toMatchObject({ code: 'ERR_FORMAT' })
  const wrong = { dryrun: true } as unknown as { dryRun: boolean }
  await expect(Store.repair(path, wrong)).rejects.toMatchObject({ suggestion: 'dryRun' })
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  await expect(Store.repair(path, { signal })).rejects.toBe(reason)
})

test('a damaged manifest is damage, and repair writes it again', async () => {
  const path = await orders()
  const manifest = join(path, 'MANIFEST')
  const before = readFileSync(manifest)
  writeFileSync(manifest, before.subarray(0, 50))
  await expect(Store.open(path)).rejects.toMatchObject({
    code: 'ERR_CORRUPT',
    damage: [{ segment: 0 }],
    message: expect.stringContaining('Store.repair()'),
  })
  const report = await Store.repair(path)
  expect(report.steps.map((step) => step.action)).toEqual(['manifest'])
  const store = await openStore(path)
  expect((await store.verify()).events).toBe(5)
})

test('a store of a newer format is refused, by repair too, and not a byte of it changes', async () => {
  const path = await orders()
  const files = ['MANIFEST', SEGMENT, 'HEAD'].map((name) => join(path, name))
  const manifest = files[0] as string
  const bytes = readFileSync(manifest)
  bytes[8] = 2
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  writeFileSync(manifest, bytes)
  const before = files.map(state)
  for (const attempt of [
    () => Store.open(path),
    () => Store.open(path, { readOnly: true }),
    () => Store.repair(path),
  ]) {
    await expect(attempt()).rejects.toMatchObject({ code: 'ERR_FORMAT' })
  }
  expect(files.map(state)).toEqual(before)
})

function state(file: string): string {
  return `${createHash('sha256').update(readFileSync(file)).digest('hex')} ${statSync(file).mtimeMs}`
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return ~crc >>> 0
}
