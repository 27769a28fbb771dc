import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Store } from 'tetralog'

type OrderEvent = { fact: 'placed'; payload: { total: number } } | { fact: 'paid' }

await using store = await Store.open(await mkdtemp(join(tmpdir(), 'orders-')))
const order = { entity: 'order:1', scope: 'org:acme/team:eng' }

const receipt = await store.append<OrderEvent>(
  { ...order, fact: 'placed', payload: { total: 3 }, tags: ['vip'] },
  { expect: 'none' },
)
await store.append<OrderEvent>({ ...order, fact: 'paid' }, { expect: receipt.version })

for await (const event of store.stream<OrderEvent>('order:1'))
  if (event.fact === 'placed') console.log(event.version, event.fact, event.payload.total)
  else console.log(event.version, event.fact)

const placed = await store.query({ scope: 'org:acme/*', fact: 'placed' }).toArray()
console.log(`${placed.length} placed below org:acme, chains intact: ${(await store.verify()).ok}`)
