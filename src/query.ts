// The query builder: immutable, each method gives a new query.
import type { Decoded } from './batch.js'
import { clockBytes } from './clock.js'
import { invalidArgument } from './errors.js'
import { decodeEvents } from './event.js'
import {
  type CheckedFilter,
  checkFacts,
  checkPatterns,
  checkScopes,
  checkStrings,
  queryWindow,
} from './filter.js'
import { BaseReading, Cursor, type Plan, readAll } from './reading.js'
import type { Session } from './session.js'
import type {
  AppendCondition,
  ClockInput,
  EventType,
  Pattern,
  Query,
  RecordedEvent,
} from './types.js'
import { checkWindow, querySpec, refuseTwoStarts, type Window } from './window.js'

type Coordinate = 'entity' | 'fact' | 'scope'

export class LogQuery<E extends EventType = EventType>
  extends BaseReading<RecordedEvent<E>>
  implements Query<E>
{
  readonly #session: Session
  readonly #filters: readonly CheckedFilter[]
  readonly #window: Window

  constructor(session: Session, filters: readonly CheckedFilter[], window: Window) {
    super()
    this.#session = session
    this.#filters = filters
    this.#window = window
  }

  /** What of its window a query has, if it is one of ours and has one. */
  static windowOf(value: object): string | undefined {
    if (!(#window in value)) return undefined
    const { from, after, asOf, limit, backwards } = value.#window
    if (from !== undefined) return 'from'
    if (after !== undefined) return 'after'
    if (asOf !== undefined) return 'asOf'
    if (limit !== undefined) return 'limit'
    return backwards === true ? 'backwards' : undefined
  }

  get filters(): readonly CheckedFilter[] {
    return this.#filters
  }

  protected plan(): Plan<RecordedEvent<E>> {
    const window = this.#window
    return {
      session: this.#session,
      limit: window.limit,
      signal: window.signal,
      spec: (limit) => querySpec(this.#filters, window, limit),
      decode: (bytes, source) => decodeEvents(bytes, source) as Decoded<RecordedEvent<E>>,
    }
  }

  /** The same change to every filter: they are alternatives, and it must hold of each. */
  #each(change: (filter: CheckedFilter) => CheckedFilter): LogQuery<E> {
    const filters = this.#filters.map((filter) => Object.freeze(change(filter)))
    return new LogQuery(this.#session, Object.freeze(filters), this.#window)
  }

  #coordinate(name: Coordinate, value: readonly (string & Pattern)[]): LogQuery<E>
  #coordinate(name: 'entity' | 'scope', value: readonly Pattern[]): LogQuery<E>
  #coordinate(name: Coordinate, value: readonly Pattern[]): LogQuery<E> {
    return this.#each((filter) => {
      if (filter[name] !== undefined) throw givenTwice(name)
      return { ...filter, [name]: value }
    })
  }

  fact<const F extends E['fact']>(
    ...anyOf: readonly F[]
  ): Query<string extends E['fact'] ? E : Extract<E, { readonly fact: F }>> {
    const query: unknown = this.#coordinate('fact', checkFacts(anyOf, 'fact'))
    return query as Query<string extends E['fact'] ? E : Extract<E, { readonly fact: F }>>
  }

  entity(...anyOf: readonly Pattern[]): Query<E> {
    return this.#coordinate('entity', checkPatterns(anyOf, 'entity'))
  }

  scope(...anyOf: readonly Pattern[]): Query<E> {
    return this.#coordinate('scope', checkScopes(anyOf, 'scope'))
  }

  since(clock: ClockInput): Query<E> {
    const from = clockBytes(clock, 'clock')
    return this.#each((filter) => {
      if (filter.clock?.from !== undefined) throw givenTwice('since')
      return { ...filter, clock: Object.freeze({ ...filter.clock, from }) }
    })
  }

  until(clock: ClockInput): Query<E> {
    const to = clockBytes(clock, 'clock')
    return this.#each((filter) => {
      if (filter.clock?.to !== undefined || filter.clock?.before !== undefined) {
        throw givenTwice('until')
      }
      return { ...filter, clock: Object.freeze({ ...filter.clock, to }) }
    })
  }

  tagged(...allOf: readonly string[]): Query<E> {
    const tags = checkStrings(allOf, 'tags')
    return this.#each((filter) => {
      const before = filter.tags?.all
      // An empty list matches nothing, and still does when another list is added to it.
      const nothing = before !== undefined && (before.length === 0 || tags.length === 0)
      const all = Object.freeze(nothing ? [] : [...(before ?? []), ...tags])
      return { ...filter, tags: Object.freeze({ ...filter.tags, all }) }
    })
  }

  taggedAny(...anyOf: readonly string[]): Query<E> {
    const any = checkStrings(anyOf, 'tags')
    return this.#each((filter) => {
      if (filter.tags?.any !== undefined) throw givenTwice('taggedAny')
      return { ...filter, tags: Object.freeze({ ...filter.tags, any }) }
    })
  }

  #with(change: Window): Query<E> {
    const window: Window = Object.freeze({ ...this.#window, ...change })
    return new LogQuery(this.#session, this.#filters, window)
  }

  from(position: number): Query<E> {
    const change = { from: checkWindow.from(position, 'position') }
    refuseTwoStarts({ ...this.#window, ...change }, 'from')
    return this.#with(change)
  }

  after(position: number): Query<E> {
    const change = { after: checkWindow.after(position, 'position') }
    refuseTwoStarts({ ...this.#window, ...change }, 'after')
    return this.#with(change)
  }

  asOf(position: number): Query<E> {
    return this.#with({ asOf: checkWindow.asOf(position, 'position') })
  }

  limit(count: number): Query<E> {
    return this.#with({ limit: checkWindow.limit(count, 'count') })
  }

  backwards(): Query<E> {
    return this.#with({ backwards: true })
  }

  orderBy(order: 'position' | 'clock'): Query<E> {
    return this.#with({ orderBy: checkWindow.orderBy(order, 'order') })
  }

  signal(signal: AbortSignal): Query<E> {
    return this.#with({ signal: checkWindow.signal(signal, 'signal') })
  }

  async boundary(): Promise<{
    events: RecordedEvent<E>[]
    head: number
    unless: AppendCondition
  }> {
    const window = LogQuery.windowOf(this)
    if (window !== undefined) {
      throw invalidArgument(
        window,
        'cannot be given to boundary(), which is about all events that match: leave it out',
      )
    }
    const cursor = new Cursor(this.plan())
    const events = await readAll(cursor)
    const head = cursor.head
    return { events, head, unless: { match: this.#filters, after: head } }
  }

  async explain(): Promise<{ plan: string; recordsTouched: number }> {
    const text = await new Cursor(this.plan()).explain()
    return JSON.parse(text) as { plan: string; recordsTouched: number }
  }
}

queryWindow.of = LogQuery.windowOf

function givenTwice(name: string): Error {
  return invalidArgument(name, 'is given already: each coordinate can be given once')
}
