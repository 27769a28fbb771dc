// Programs of the kind users write. The compiler must have nothing to say about them.
import {
  type AppendCondition,
  clock,
  type EntityInfo,
  type ErrorCode,
  type EventJson,
  type NewEvent,
  type Query,
  type Reading,
  type RecordedEvent,
  Store,
  TetralogError,
} from '../../index.js'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(..._: Equal<A, B> extends true ? [] : ['the types differ']): void {}

type OrderEvent =
  | { fact: 'placed'; payload: { total: number } }
  | { fact: 'paid' }
  | { fact: 'noted'; payload: string; metadata: { by: string } }

export async function ordering(): Promise<void> {
  await using store = await Store.open('./data', { durability: 'interval', readOnly: undefined })
  const receipt = await store.append<OrderEvent>(
    { entity: 'order:1', fact: 'placed', scope: 'org:acme', payload: { total: 3 }, tags: ['vip'] },
    { expect: 'none' },
  )
  same<typeof receipt.versions, ReadonlyMap<string, number>>()
  await store.append<OrderEvent>([
    { entity: 'order:1', fact: 'paid' },
    {
      entity: 'order:1',
      fact: 'noted',
      payload: 'text',
      metadata: { by: 'me' },
      clock: new Date(),
    },
  ])
  for await (const event of store.stream<OrderEvent>('order:1')) {
    if (event.fact === 'placed') same<typeof event.payload, { total: number }>()
    if (event.fact === 'paid') same<typeof event.payload, undefined>()
    if (event.fact === 'noted') same<typeof event.metadata, { by: string }>()
  }
  for await (const events of store.all().batches()) same<typeof events, readonly RecordedEvent[]>()
  const entities: Reading<EntityInfo> = store.entities({ prefix: 'order:' })
  same<Awaited<ReturnType<typeof entities.first>>, EntityInfo | undefined>()
}

export async function querying(store: Store): Promise<void> {
  const query: Query<OrderEvent> = store.query<OrderEvent>({ scope: 'org:acme/*' })
  const placed = query.fact('placed').since(new Date()).limit(10)
  const first = await placed.first()
  if (first !== undefined) {
    same<typeof first.fact, 'placed'>()
    same<typeof first.payload, { total: number }>()
  }
  const two = await query.fact('placed', 'paid').toArray()
  same<(typeof two)[number]['fact'], 'placed' | 'paid'>()
  const { events, unless } = await store.query({ tags: { all: ['email:a@b.c'] } }).boundary()
  const condition: AppendCondition = unless
  if (events.length === 0) {
    await store.append({ entity: 'user:1', fact: 'registered' }, { unless: [condition] })
    await store.append([], { unless: { match: query } })
    await store.append([], { unless: { match: [{ entity: { exact: 'a' } }, query], after: -1 } })
  }
}

export async function reading(store: Store): Promise<void> {
  const event = await store.latest('user:1')
  if (event === undefined) return
  same<typeof event.payload, unknown>()
  const json: EventJson = event.toJSON()
  const typed = event.json<{ name: string }>()
  same<typeof typed, { name: string }>()
  const copy = event.detach()
  same<typeof copy, typeof event>()
  console.log(json.recordedAt, clock.toDate(event.clock), clock.compare(event.clock, copy.clock))
  await store.append(
    { entity: 'user:1', fact: 'renamed' },
    { expect: { 'user:1': await store.version('user:1'), 'user:2': 'none' } },
  )
}

export function handling(error: unknown): string {
  if (!(error instanceof TetralogError)) return String(error)
  const code: ErrorCode = error.code
  switch (error.code) {
    case 'ERR_WRONG_EXPECTED_VERSION':
      return `${error.entity} ${error.actual} ${error.expected}`
    case 'ERR_CONDITION_FAILED':
      return String(error.position)
    case 'ERR_CORRUPT':
      return String(error.damage[0]?.segment)
    case 'ERR_INVALID_ARGUMENT':
      return error.suggestion ?? error.argument
    default:
      return `${code} ${error.written}`
  }
}

export function generic<E extends { fact: string; payload: unknown }>(
  store: Store,
  event: NewEvent<E>,
): Promise<unknown> {
  return store.append<E>(event)
}

export function openTyped(event: RecordedEvent): unknown {
  return event.payload
}
