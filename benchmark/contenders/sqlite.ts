// An event store on better-sqlite3: one table, with a unique index of entity and version and an index
// of fact and scope. It keeps neither ids nor hashes.
import { join } from 'node:path'
import type { NewEvent } from 'tetralog'
import type { Events, FactAndOrganisation, WorkloadEvent } from '../workload.js'
import { type Peer, type PeerStore, wrongVersion } from './peer.js'

/** As much of the package as is used here. */
interface Statement {
  run(...values: unknown[]): { readonly changes: number }
  get(...values: unknown[]): unknown
  iterate(...values: unknown[]): IterableIterator<unknown>
  raw(isRaw: boolean): Statement
}
interface Database {
  pragma(text: string): unknown
  exec(sql: string): void
  prepare(sql: string): Statement
  transaction(work: (events: Events) => void): (events: Events) => void
  close(): void
}
export type DatabaseClass = new (path: string) => Database

type Fields = readonly [number, number, string, string, string, Uint8Array, number, Uint8Array]

const schema = `
  CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY, version INTEGER NOT NULL, entity TEXT NOT NULL,
    fact TEXT NOT NULL, scope TEXT NOT NULL, clock BLOB NOT NULL, recorded_at INTEGER NOT NULL,
    payload BLOB NOT NULL, UNIQUE (entity, version));
  CREATE INDEX IF NOT EXISTS by_fact_and_scope ON events (fact, scope);`

const fields = 'position, version, entity, fact, scope, clock, recorded_at, payload'

export function sqlitePeers(database: DatabaseClass, version: string): Peer[] {
  const peer = (name: string, setup: string, pragmas: readonly string[]): Peer => ({
    ...{ name, version, setup },
    open: (path, { isDurable }) => {
      const opened = new database(join(path, 'events.db'))
      for (const pragma of pragmas) opened.pragma(pragma)
      opened.pragma('journal_mode = WAL')
      opened.pragma(`synchronous = ${isDurable ? 'FULL' : 'OFF'}`)
      return new SqliteStore(opened)
    },
  })
  return [
    peer('better-sqlite3', 'WAL, synchronous FULL (OFF where not durable)', []),
    peer('better-sqlite3, tuned', 'also exclusive, 8 KiB pages, 256 MiB cache, 8 GiB mapped', [
      'page_size = 8192',
      'locking_mode = EXCLUSIVE',
      'cache_size = -262144',
      'mmap_size = 8589934592',
      'wal_autocheckpoint = 8000',
      'temp_store = MEMORY',
    ]),
  ]
}

class SqliteStore implements PeerStore {
  readonly #database: Database
  readonly #insert: Statement
  readonly #scan: Statement
  readonly #scanFields: Statement
  readonly #stream: Statement
  readonly #latest: Statement
  readonly #query: Statement
  readonly #count: Statement
  readonly #appendAll: (events: Events) => void

  constructor(database: Database) {
    this.#database = database
    database.exec(schema)
    const read = (sql: string) => database.prepare(sql).raw(true)
    this.#insert = database.prepare(
      `INSERT INTO events (entity, version, fact, scope, clock, recorded_at, payload)
       SELECT ?, ?, ?, ?, ?, ?, ?
       WHERE coalesce((SELECT max(version) FROM events WHERE entity = ?), -1) = ?`,
    )
    this.#scan = read('SELECT position, payload FROM events ORDER BY position')
    this.#scanFields = read(`SELECT ${fields} FROM events ORDER BY position`)
    this.#stream = read(`SELECT ${fields} FROM events WHERE entity = ? ORDER BY version`)
    this.#latest = read(
      `SELECT ${fields} FROM events WHERE entity = ? ORDER BY version DESC LIMIT 1`,
    )
    const below = 'fact = ? AND scope >= ? AND scope < ?'
    this.#query = read(`SELECT ${fields} FROM events WHERE ${below} ORDER BY position`)
    this.#count = read(`SELECT count(*) FROM events WHERE ${below}`)
    this.#appendAll = database.transaction((events) => {
      for (const event of events) this.#append(event)
    })
  }

  append(events: Events): void {
    const [first] = events
    if (events.length === 1 && first) this.#append(first)
    else this.#appendAll(events)
  }

  scan(): number {
    let sum = 0
    for (const row of this.#scan.iterate()) {
      const [position, payload] = row as [number, Uint8Array]
      sum += position + payload.length
    }
    return sum
  }

  scanFields(): number {
    return touchAll(this.#scanFields.iterate())
  }

  stream(entity: string): number {
    return touchPayloads(this.#stream.iterate(entity))
  }

  latest(entity: string): number {
    return (this.#latest.get(entity) as Fields | undefined)?.[7].length ?? 0
  }

  query({ fact, organisation }: FactAndOrganisation): number {
    return touchPayloads(this.#query.iterate(fact, `${organisation}/`, `${organisation}0`))
  }

  count({ fact, organisation }: FactAndOrganisation): number {
    return (this.#count.get(fact, `${organisation}/`, `${organisation}0`) as [number])[0]
  }

  close(): void {
    this.#database.close()
  }

  #append({ entity, fact, scope, clock, payload, expect }: NewEvent<WorkloadEvent>): void {
    const head = expect === 'none' ? -1 : expect
    const now = Date.now() * 1000
    const row = [entity, Number(head) + 1, fact, scope, clock, now, payload]
    const { changes } = this.#insert.run(...row, entity, head)
    if (changes !== 1) throw wrongVersion(entity)
  }
}

function touchPayloads(rows: Iterable<unknown>): number {
  let sum = 0
  for (const row of rows) sum += (row as Fields)[7].length
  return sum
}

function touchAll(rows: Iterable<unknown>): number {
  let sum = 0
  for (const row of rows) {
    const [position, version, entity, fact, scope, clock, recordedAt, payload] = row as Fields
    const lengths = entity.length + fact.length + scope.length + clock.length + payload.length
    sum += position + version + recordedAt + lengths
  }
  return sum
}
