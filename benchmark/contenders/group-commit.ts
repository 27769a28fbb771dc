// What an application does that has many callers and a store with synchronous transactions: events
// that arrive in one turn of the event loop are committed together.
import type { NewEvent } from 'tetralog'
import type { WorkloadEvent } from '../workload.js'
import type { PeerStore } from './peer.js'

interface Waiting {
  readonly event: NewEvent<WorkloadEvent>
  resolve(): void
  reject(reason: unknown): void
}

export class GroupCommit {
  readonly #store: PeerStore
  #waiting: Waiting[] = []

  constructor(store: PeerStore) {
    this.#store = store
  }

  /** Resolves when the event is committed. */
  append(event: NewEvent<WorkloadEvent>): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#commit())
      this.#waiting.push({ event, resolve, reject })
    })
  }

  #commit(): void {
    const group = this.#waiting
    this.#waiting = []
    try {
      this.#store.append(group.map(({ event }) => event))
      for (const { resolve } of group) resolve()
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }
}
