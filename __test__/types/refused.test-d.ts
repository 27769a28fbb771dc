// Programs that the compiler must refuse.
import { clock, Store, TetralogError } from '../../index.js'

type OrderEvent = { fact: 'placed'; payload: { total: number } } | { fact: 'paid' }

export async function refused(store: Store, tenant: string | undefined): Promise<void> {
  // @ts-expect-error: stores are opened, not constructed
  new Store()
  // @ts-expect-error: errors are caught, not made
  new TetralogError('x')
  // @ts-expect-error: an event has a fact
  await store.append({ entity: 'a' })
  // @ts-expect-error: an event has an entity
  await store.append({ fact: 'f' })
  // @ts-expect-error: a field is misspelt
  await store.append({ entity: 'a', fact: 'f', paylod: 1 })
  // @ts-expect-error: this fact has another payload
  await store.append<OrderEvent>({ entity: 'a', fact: 'placed', payload: { total: '3' } })
  // @ts-expect-error: this fact has no payload
  await store.append<OrderEvent>({ entity: 'a', fact: 'paid', payload: 5 })
  // @ts-expect-error: there is no such fact
  await store.append<OrderEvent>({ entity: 'a', fact: 'shipped' })
  // @ts-expect-error: there is no such expectation
  await store.append({ entity: 'a', fact: 'f' }, { expect: 'empty' })
  // @ts-expect-error: there is no such durability
  await store.append([], { durability: 'always' })
  // @ts-expect-error: an option is misspelt
  store.all({ limti: 5 })
  // @ts-expect-error: a stream has no order but its own
  store.stream('a', { orderBy: 'clock' })
  // @ts-expect-error: an undefined scope would mean every tenant
  store.query({ scope: tenant })
  // @ts-expect-error: a filter's fact is one of the events'
  store.query<OrderEvent>({ fact: 'shipped' })
  // @ts-expect-error: a query's fact is one of the events'
  store.query<OrderEvent>().fact('shipped')
  // @ts-expect-error: a position is a number
  await store.event('5')
  // @ts-expect-error: what opening found out is not to be changed
  store.damage.push()
  // @ts-expect-error: a receipt is not to be changed
  ;(await store.append([])).versions.set('a', 1)
  // @ts-expect-error: nanoseconds are a bigint
  clock.fromNs(5)
  // @ts-expect-error: a memory store has no durability
  await Store.memory({ durability: 'none' })
}
