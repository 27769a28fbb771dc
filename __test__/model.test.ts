// Random programs against the store and against a plain array of events, which must agree.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type NewEvent, Store, TetralogError } from '../index.js'
import { temporaryFolder } from './helpers/stores.js'

interface Modelled {
  entity: string
  fact: string
  scope: string
  tags: string[]
  id: string | undefined
  payload: unknown
  version: number
}

const ENTITIES = ['a', 'b', 'ab', 'ü:1']
const FACTS = ['x', 'y', 'z']
const SCOPES = ['', 'o', 'o/p', 'o/p/q', 'o2']
const TAGS = ['s', 't', 'u']
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

const event = fc.record({
  entity: fc.constantFrom(...ENTITIES),
  fact: fc.constantFrom(...FACTS),
  scope: fc.constantFrom(...SCOPES),
  tags: fc.uniqueArray(fc.constantFrom(...TAGS)),
  payload: fc.oneof(
    fc.constant(undefined),
    fc.string(),
    // Through JSON once, which has no -0.
    fc.jsonValue({ maxDepth: 2 }).map((value): unknown => JSON.parse(JSON.stringify(value))),
  ),
})

const expectation = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 2, arbitrary: fc.constantFrom('any', 'none', 'exists') },
  { weight: 2, arbitrary: fc.integer({ min: -1, max: 6 }) },
)

const filter = fc.record(
  {
    entity: fc.constantFrom('a', 'a*', 'b', '*', 'ü:*'),
    fact: fc.subarray(FACTS),
    scope: fc.constantFrom('', 'o', 'o/*', 'o/p/*', '*'),
    tags: fc.record(
      { any: fc.subarray(TAGS, { minLength: 1 }), all: fc.subarray(TAGS, { minLength: 1 }) },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
)
type AnyFilter = typeof filter extends fc.Arbitrary<infer F> ? F : never

const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      events: fc.array(event, { maxLength: 4 }),
      firstId: fc.option(fc.nat(12), { nil: undefined }),
      expect: fc.option(fc.tuple(fc.constantFrom(...ENTITIES), expectation), { nil: undefined }),
      unless: fc.option(fc.tuple(filter, fc.integer({ min: -1, max: 20 })), { nil: undefined }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('query' as const),
      filters: fc.array(filter, { maxLength: 3 }),
      after: fc.option(fc.integer({ min: -1, max: 25 }), { nil: undefined }),
      limit: fc.option(fc.nat(10), { nil: undefined }),
      backwards: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never
type Append = Extract<Command, { kind: 'append' }>
type Query = Extract<Command, { kind: 'query' }>

const entityMatches = (pattern: string, entity: string) =>
  pattern.endsWith('*') ? entity.startsWith(pattern.slice(0, -1)) : entity === pattern

function scopeMatches(pattern: string, scope: string): boolean {
  if (pattern === '*') return true
  if (!pattern.endsWith('/*')) return scope === pattern
  const base = pattern.slice(0, -2)
  return scope === base || scope.startsWith(`${base}/`)
}

function matches(filter: AnyFilter, event: Modelled): boolean {
  const { entity, fact, scope, tags } = filter
  return (
    (entity === undefined || entityMatches(entity, event.entity)) &&
    (fact === undefined || fact.includes(event.fact)) &&
    (scope === undefined || scopeMatches(scope, event.scope)) &&
    (tags?.any === undefined || tags.any.some((tag) => event.tags.includes(tag))) &&
    (tags?.all === undefined || tags.all.every((tag) => event.tags.includes(tag)))
  )
}

class Model {
  readonly log: Modelled[] = []

  version(entity: string): number {
    return this.log.filter((event) => event.entity === entity).length - 1
  }

  /** The error code, or the position of the first event; 'duplicate' positions count as well. */
  append(command: Append): { code: string } | { position: number; duplicate: boolean } {
    const events = command.events.map((event, i) => ({
      ...event,
      tags: [...event.tags].sort(),
      id: command.firstId === undefined ? undefined : uuid(command.firstId + i),
    }))
    if (command.firstId !== undefined && events.length > 0) {
      const places = events.map(({ entity, id }) =>
        this.log.findIndex((stored) => stored.entity === entity && stored.id === id),
      )
      const [first] = places as [number]
      if (first >= 0 && places.every((place, i) => place === first + i)) {
        return { position: first, duplicate: true }
      }
      if (places.some((place) => place >= 0)) return { code: 'ERR_ID_CONFLICT' }
    }
    if (command.expect !== undefined && !this.#holds(...command.expect)) {
      return { code: 'ERR_WRONG_EXPECTED_VERSION' }
    }
    if (command.unless !== undefined) {
      const [filter, after] = command.unless
      if (after !== undefined && after >= this.log.length) return { code: 'ERR_POSITION_AHEAD' }
      if (this.log.some((event, i) => i > after && matches(filter, event))) {
        return { code: 'ERR_CONDITION_FAILED' }
      }
    }
    const position = events.length === 0 ? -1 : this.log.length
    for (const event of events) {
      this.log.push({ ...event, version: this.version(event.entity) + 1 })
    }
    return { position, duplicate: false }
  }

  #holds(entity: string, expected: string | number | undefined): boolean {
    const version = this.version(entity)
    if (expected === undefined || expected === 'any') return true
    if (expected === 'none') return version === -1
    if (expected === 'exists') return version >= 0
    return version === expected
  }

  query({ filters, after, limit, backwards }: Query): number[] {
    let found = this.log
      .map((_, i) => i)
      .filter((i) => filters.some((filter) => matches(filter, this.log[i] as Modelled)))
    if (backwards) found.reverse()
    if (after !== undefined && after >= 0) {
      found = found.filter((i) => (backwards ? i < after : i > after))
    }
    return found.slice(0, limit)
  }
}

async function append(store: Store, command: Append): Promise<object> {
  const { events, firstId, expect: expected, unless } = command
  const given = events.map((event, i) =>
    firstId === undefined ? event : { ...event, id: uuid(firstId + i) },
  ) as NewEvent[]
  try {
    const { position, duplicate } = await store.append(given, {
      expect: expected === undefined ? undefined : { [expected[0]]: expected[1] as 'any' },
      unless: unless === undefined ? undefined : { match: unless[0] as object, after: unless[1] },
    })
    return { position, duplicate }
  } catch (error) {
    if (error instanceof TetralogError) return { code: error.code }
    throw error
  }
}

async function compare(store: Store, model: Model): Promise<void> {
  const events = await store.all().toArray()
  expect(
    events.map(({ entity, fact, scope, tags, payload, version }) => ({
      ...{ entity, fact, scope, tags, payload, version },
    })),
  ).toEqual(model.log.map(({ id, ...event }) => event))
  expect(await store.head()).toBe(model.log.length - 1)
  for (const entity of ENTITIES) {
    expect(await store.version(entity)).toBe(model.version(entity))
    const stream = await store.stream(entity, { backwards: true }).toArray()
    expect(stream.map(({ position }) => position)).toEqual(
      model.log.flatMap((event, i) => (event.entity === entity ? [i] : [])).reverse(),
    )
  }
  expect((await store.verify()).ok).toBe(true)
}

async function follow(commands: Command[], open: () => Promise<Store>, reopens: boolean) {
  const model = new Model()
  let store = await open()
  try {
    for (const command of commands) {
      if (command.kind === 'append') {
        expect(await append(store, command)).toEqual(model.append(command))
      } else if (command.kind === 'query') {
        const { filters, kind, ...window } = command
        const found = await store.query(filters as object[], window).toArray()
        expect(found.map(({ position }) => position)).toEqual(model.query(command))
        expect(await store.query(filters as object[], window).count()).toBe(found.length)
      } else if (reopens) {
        await store.close()
        store = await open()
        await compare(store, model)
      }
    }
    await compare(store, model)
  } finally {
    await store.close()
  }
}

describe('a random program does what the model says', () => {
  const commands = fc.array(command, { maxLength: 30 })

  test('in memory', async () => {
    await fc.assert(
      fc.asyncProperty(commands, (list) => follow(list, () => Store.memory(), false)),
      { numRuns: 100 },
    )
  }, 120_000)

  test('on disk, reopened now and then', async () => {
    await fc.assert(
      fc.asyncProperty(commands, async (list) => {
        const folder = temporaryFolder()
        await follow(list, () => Store.open(folder, { durability: 'none' }), true)
      }),
      { numRuns: 40 },
    )
  }, 120_000)
})
