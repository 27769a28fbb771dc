// An event store on lmdb: events by position, the head of every entity, positions by entity and
// version, and by fact and scope. It keeps neither ids nor hashes.
import { join } from 'node:path'
import type { NewEvent } from 'tetralog'
import { packEvent, packedPayload, roomForEvent, unpackEvent } from '../packed-event.js'
import type { Events, FactAndOrganisation, WorkloadEvent } from '../workload.js'
import { type Peer, type PeerStore, wrongVersion } from './peer.js'

type Key = number | string | readonly (number | string)[]
interface Range {
  readonly start?: Key
  readonly end?: Key
  readonly reverse?: boolean
  readonly limit?: number
}

/** As much of the package as is used here. */
interface Table {
  get(key: Key): unknown
  getBinaryFast(key: Key): Buffer | undefined
  putSync(key: Key, value: unknown): unknown
  getKeys(range?: Range): Iterable<unknown>
  getRange(range?: Range): Iterable<{ readonly key: unknown; readonly value: unknown }>
  getKeysCount(range?: Range): number
}
interface RootDatabase extends Table {
  openDB(name: string, options: object): Table
  transactionSync(work: () => void): void
  close(): Promise<void>
}
export type OpenDatabase = (options: object) => RootDatabase

export function lmdbPeer(open: OpenDatabase, version: string): Peer {
  return {
    ...{ name: 'lmdb', version },
    setup: 'no overlapping sync (no sync where not durable), events as raw bytes',
    open: (path, { isDurable }) => {
      const durability = isDurable ? { overlappingSync: false } : { noSync: true }
      return new LmdbStore(open({ path: join(path, 'events.mdb'), maxDbs: 4, ...durability }))
    },
  }
}

class LmdbStore implements PeerStore {
  readonly #root: RootDatabase
  readonly #events: Table
  /** The last version and position of each entity. */
  readonly #heads: Table
  readonly #streams: Table
  readonly #facts: Table
  readonly #packed = Buffer.alloc(roomForEvent)
  #next = 0

  constructor(root: RootDatabase) {
    this.#root = root
    this.#events = root.openDB('events', { keyEncoding: 'uint32', encoding: 'binary' })
    this.#heads = root.openDB('heads', { encoding: 'ordered-binary' })
    this.#streams = root.openDB('streams', { encoding: 'ordered-binary' })
    this.#facts = root.openDB('facts', { encoding: 'binary' })
    for (const last of this.#events.getKeys({ reverse: true, limit: 1 })) {
      this.#next = (last as number) + 1
    }
  }

  append(events: Events): void {
    const before = this.#next
    try {
      this.#root.transactionSync(() => {
        for (const event of events) this.#append(event)
      })
    } catch (error) {
      this.#next = before
      throw error
    }
  }

  scan(): number {
    let sum = 0
    for (const { key, value } of this.#events.getRange()) {
      sum += (key as number) + packedPayload(value as Buffer).length
    }
    return sum
  }

  scanFields(): number {
    let sum = 0
    for (const { key, value } of this.#events.getRange()) {
      const { entity, fact, scope, clock, payload } = unpackEvent(value as Buffer)
      const lengths = entity.length + fact.length + scope.length + clock.length + payload.length
      sum += (key as number) + lengths
    }
    return sum
  }

  stream(entity: string): number {
    let sum = 0
    for (const { value } of this.#streams.getRange({ start: [entity, 0], end: [entity, Infinity] }))
      sum += this.#touch(value as number)
    return sum
  }

  latest(entity: string): number {
    const head = this.#heads.get(entity) as [number, number] | undefined
    return head === undefined ? 0 : this.#touch(head[1])
  }

  query(filter: FactAndOrganisation): number {
    const positions: number[] = []
    for (const key of this.#facts.getKeys(below(filter))) {
      positions.push((key as [string, string, number])[2])
    }
    let sum = 0
    for (const position of positions.sort((a, b) => a - b)) sum += this.#touch(position)
    return sum
  }

  count(filter: FactAndOrganisation): number {
    return this.#facts.getKeysCount(below(filter))
  }

  close(): Promise<void> {
    return this.#root.close()
  }

  #append(event: NewEvent<WorkloadEvent>): void {
    const { entity, fact, scope = '', expect } = event
    const [head] = (this.#heads.get(entity) as [number, number] | undefined) ?? [-1]
    if (head !== (expect === 'none' ? -1 : expect)) throw wrongVersion(entity)
    const position = this.#next
    this.#next += 1
    const bytes = this.#packed.subarray(0, packEvent(this.#packed, 0, event))
    this.#events.putSync(position, bytes)
    this.#heads.putSync(entity, [head + 1, position])
    this.#streams.putSync([entity, head + 1], position)
    this.#facts.putSync([fact, scope, position], nothing)
  }

  /** The bytes are those of the store's own buffer, valid until the next read. */
  #touch(position: number): number {
    const bytes = this.#events.getBinaryFast(position)
    return bytes === undefined ? 0 : packedPayload(bytes).length
  }
}

const nothing = Buffer.alloc(0)

function below({ fact, organisation }: FactAndOrganisation): Range {
  return { start: [fact, `${organisation}/`], end: [fact, `${organisation}0`] }
}
