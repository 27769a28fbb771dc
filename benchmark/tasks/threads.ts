// What the threads of this process are doing, as Linux tells it.
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'

const folder = '/proc/self/task'

const beginnings = { writers: 'tetralog-writer', keeper: 'tetralog-keeper' } as const

/** The groups of the threads that there are now, by the numbers of those that are in one. */
export function threadGroups(): Map<number, string> {
  const groups = new Map([[process.pid, 'JavaScript']])
  for (const id of readdirSync(folder)) {
    const name = nameOf(id)
    const group = Object.entries(beginnings).find(([, beginning]) => name.startsWith(beginning))
    if (group !== undefined) groups.set(Number(id), group[0])
  }
  return groups
}

/** Empty of a thread that has ended meanwhile. */
function nameOf(id: string): string {
  try {
    return readFileSync(`${folder}/${id}/comm`, 'latin1')
  } catch {
    return ''
  }
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
  /** When it was found. */
  readonly start: { readonly ranMs: number; readonly waitedMs: number }
}

const searchEveryMs = 500

/** The threads that are in a group, and the files of each that are read again and again. Threads that
 *  start later are found soon. */
export class Threads implements Disposable {
  readonly #groups: ReadonlyMap<string, Map<number, Thread>>
  readonly #text = Buffer.alloc(128)
  #nextSearch = 0

  constructor() {
    const names = existsSync(folder) ? ['JavaScript', ...Object.keys(beginnings)] : []
    this.#groups = new Map(names.map((name) => [name, new Map()]))
  }

  look(): ThreadTimes[] {
    const now = performance.now()
    if (now >= this.#nextSearch && this.#groups.size > 0) {
      this.#nextSearch = now + searchEveryMs
      this.#search()
    }
    return [...this.#groups].map(([name, threads]) => {
      let [ranMs, waitedMs] = [0, 0]
      const places: string[] = []
      for (const { times, place, start } of threads.values()) {
        const { ranMs: ran, waitedMs: waited } = this.#times(times)
        ranMs += Math.max(ran - start.ranMs, 0)
        waitedMs += Math.max(waited - start.waitedMs, 0)
        const sleepsIn = this.#read(place)
        if (sleepsIn !== '' && sleepsIn !== '0') places.push(sleepsIn)
      }
      return { name, ranMs, waitedMs, places }
    })
  }

  [Symbol.dispose](): void {
    for (const { times, place } of [...this.#groups.values()].flatMap((all) => [...all.values()])) {
      closeSync(times)
      closeSync(place)
    }
  }

  #search(): void {
    for (const [id, name] of threadGroups()) {
      const group = this.#groups.get(name)
      if (group === undefined || group.has(id)) continue
      const times = openSync(`${folder}/${id}/schedstat`, 'r')
      const place = openSync(`${folder}/${id}/wchan`, 'r')
      group.set(id, { times, place, start: this.#times(times) })
    }
  }

  #times(file: number): { ranMs: number; waitedMs: number } {
    const [ranNs = 0, waitedNs = 0] = this.#read(file).split(' ').map(Number)
    return { ranMs: ranNs / 1e6, waitedMs: waitedNs / 1e6 }
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
