// Chains of exported events, checked without their store.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type EventJson, verifyLinks } from '../index.js'
import { memoryStore } from './helpers/stores.js'

async function exported(): Promise<EventJson[]> {
  const store = await memoryStore()
  await store.append([
    { entity: 'a', fact: 'f', payload: { n: 1, ü: ['x', null, 1.5] }, metadata: { by: 'ada' } },
    { entity: 'b', fact: 'f', payload: 'text', tags: ['x', 'y'], scope: 'org:acme' },
    { entity: 'a', fact: 'g', payload: new Uint8Array([0, 255]), metadata: new Uint8Array([1]) },
    { entity: 'a', fact: 'h', payload: { base64: 'AAAA' }, metadata: { base64: 'AAAA' } },
    { entity: 'a', fact: 'i', clock: new Uint8Array([7]) },
  ])
  return JSON.parse(JSON.stringify(await store.all().toArray())) as EventJson[]
}

test('events that went through JSON verify, as do those that were just read', async () => {
  expect(await verifyLinks(await exported())).toEqual({
    ok: true,
    events: 5,
    entities: 2,
    broken: [],
  })
  const store = await memoryStore()
  await store.append([
    {
      entity: 'a',
      fact: 'f',
      payload: new Uint8Array(Buffer.from('{ "n": 1 }')),
      contentType: 'application/json',
    },
    { entity: 'a', fact: 'f', payload: 1 },
  ])
  expect((await verifyLinks(store.stream('a'))).ok).toBe(true)
})

test('whatever of an event is changed, its link does not hold', async () => {
  const changes: ((event: Record<string, unknown>) => void)[] = [
    (event) => (event.fact = 'other'),
    (event) => (event.scope = 'other'),
    (event) => (event.clock = '00'),
    (event) => (event.id = '0190163d-8694-739b-aea5-966c26f8ad91'),
    (event) => (event.tags = ['z']),
    (event) => (event.recordedAt = '2026-01-01T00:00:00.000001Z'),
    (event) => (event.contentType = 'text/html'),
    (event) => (event.payload = { n: 2 }),
    (event) => (event.metadata = 'else'),
    (event) => (event.link = '00'.repeat(32)),
    (event) => (event.previousLink = '11'.repeat(32)),
  ]
  for (const position of [0, 2]) {
    for (const change of changes) {
      const events = await exported()
      change(events[position] as unknown as Record<string, unknown>)
      const report = await verifyLinks(events)
      expect(report.ok, String(change)).toBe(false)
      expect(report.broken[0]).toMatchObject({ entity: 'a', position })
    }
  }
})

test('an event that is missing, swapped or repeated breaks the chain', async () => {
  const events = await exported()
  const [a0, , a1, a2] = events as [EventJson, EventJson, EventJson, EventJson]
  for (const chain of [
    [a0, a2],
    [a0, a2, a1],
    [a0, a0],
    [a0, a1, a1],
  ]) {
    expect((await verifyLinks(chain)).ok).toBe(false)
  }
  expect((await verifyLinks([a1, a2])).ok, 'a later part rests on its first previous link').toBe(
    true,
  )
  expect((await verifyLinks([])).ok).toBe(true)
})

test('any JSON payload and metadata verify after a round trip', async () => {
  const store = await memoryStore()
  const value = fc.jsonValue({ noUnicodeString: false }).filter((json) => json !== undefined)
  await fc.assert(
    fc.asyncProperty(value, value, async (payload, metadata) => {
      const { position } = await store.append({
        entity: 'a',
        fact: 'f',
        payload,
        metadata,
      } as never)
      const event = await store.event(position)
      return (await verifyLinks([JSON.parse(JSON.stringify(event))])).ok
    }),
    { numRuns: 300 },
  )
})

test('what is no event is refused by its place', async () => {
  const [event] = await exported()
  for (const [events, argument] of [
    [undefined, 'events'],
    [[1], 'events[0]'],
    [[{}], 'events[0].entity'],
    [[{ ...event, link: undefined }], 'events[0].link'],
    [[{ ...event, previousLink: undefined }], 'events[0].previousLink'],
    [[{ ...event, clock: 7 }], 'events[0].clock'],
    [[{ ...event, tags: [undefined] }], 'events[0].tags[0]'],
    [[{ ...event, payload: 1n }], 'events[0].payload'],
  ] as const) {
    await expect(verifyLinks(events as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      argument,
    })
  }
})

interface Golden extends Omit<EventJson, 'recordedAt' | 'payload' | 'metadata'> {
  readonly recordedAtUs: number
  readonly payload: string | null
  readonly metadata: string
  readonly metadataKind: 'none' | 'bytes' | 'json'
}

test('the golden events verify, and their links are those of docs/format.md', async () => {
  const file = new URL('../fixtures/format-1/events.json', import.meta.url)
  const golden = JSON.parse(readFileSync(file, 'utf8')) as Golden[]
  const events = golden.map((event) => ({
    ...event,
    metadata: metadataOf(event),
    bytes: () => Buffer.from(event.payload ?? '61'.repeat(1 << 20), 'hex'),
  }))
  expect(await verifyLinks(events as never)).toMatchObject({ ok: true, events: 5, entities: 3 })
  const format = readFileSync(new URL('../docs/format.md', import.meta.url), 'utf8')
  const rows = format.matchAll(/^\| (\d+) \| `[0-9a-f]{64}` \| `([0-9a-f]{64})` \|$/gm)
  const links = [...rows].map(([, position, link]) => [Number(position), link])
  expect(links).toEqual(golden.map((event) => [event.position, event.link]))
})

function metadataOf({ metadata, metadataKind }: Golden): unknown {
  const bytes = Buffer.from(metadata, 'hex')
  if (metadataKind === 'none') return undefined
  return metadataKind === 'bytes' ? new Uint8Array(bytes) : JSON.parse(bytes.toString())
}
