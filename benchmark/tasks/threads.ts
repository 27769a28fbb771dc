// What the threads of this process are doing, as Linux tells it.
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'

const folder = '/proc/self/task'

const beginnings = { writers: 'tetralog-writer', keeper: 'tetralog-keeper' } as const

/** The groups of the threads that there are now, by the numbers of those that are in one. */
export function threadGroups(): Map<number, string> {
  const groups = new Map([[process.pid, 'JavaScript']])
  for (const id of readdirSync(folder)) {
    const name = readFileSync(`${folder}/${id}/comm`, 'latin1')
    const group = Object.entries(beginnings).find(([, beginning]) => name.startsWith(beginning))
    if (group !== undefined) groups.set(Number(id), group[0])
  }
  return groups
}

export interface ThreadTimes {
  readonly name: string
  /** Since they began, all threads of the group together. */
  readonly ranMs: number
  readonly waitedMs: number
  /** The functions of the kernel in which its sleeping threads are now. */
  readonly places: readonly string[]
}

interface Thread {
  readonly times: number
  readonly place: number
}

/** The threads that there are when it is made, and the file of each that is read again and again. */
export class Threads implements Disposable {
  readonly #groups: ReadonlyMap<string, readonly Thread[]>
  readonly #text = Buffer.alloc(128)

  constructor() {
    this.#groups = existsSync(folder) ? findGroups() : new Map()
  }

  look(): ThreadTimes[] {
    return [...this.#groups].map(([name, threads]) => {
      let [ranMs, waitedMs] = [0, 0]
      const places: string[] = []
      for (const { times, place } of threads) {
        const [ranNs = 0, waitedNs = 0] = this.#read(times).split(' ').map(Number)
        ranMs += ranNs / 1e6
        waitedMs += waitedNs / 1e6
        const sleepsIn = this.#read(place)
        if (sleepsIn !== '' && sleepsIn !== '0') places.push(sleepsIn)
      }
      return { name, ranMs, waitedMs, places }
    })
  }

  [Symbol.dispose](): void {
    for (const threads of this.#groups.values()) {
      for (const { times, place } of threads) {
        closeSync(times)
        closeSync(place)
      }
    }
  }

  #read(file: number): string {
    try {
      const length = readSync(file, this.#text, 0, this.#text.length, 0)
      return this.#text.toString('latin1', 0, length).trim()
    } catch {
      return '' // the thread is gone
    }
  }
}

function findGroups(): Map<string, Thread[]> {
  const found = new Map<string, Thread[]>()
  for (const [id, group] of threadGroups()) {
    found.set(group, [...(found.get(group) ?? []), openThread(id)])
  }
  return found
}

function openThread(id: number): Thread {
  return {
    times: openSync(`${folder}/${id}/schedstat`, 'r'),
    place: openSync(`${folder}/${id}/wchan`, 'r'),
  }
}
