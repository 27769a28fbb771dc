// The practical limit: the same bytes, framed and written into a zero-filled file, with no index,
// no hash and no check. Everything happens on the calling thread.
import { closeSync, fdatasyncSync, fsyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, rate, type Settings } from './measurement.js'
import { packEvent, packedBytes, packedPayload, roomForEvent } from './packed-event.js'
import { type Events, groupsOf } from './workload.js'

const windowBytes = 1 << 20

export class RawFile implements Disposable {
  readonly #path: string
  readonly #file: number
  #buffer = Buffer.alloc(roomForEvent)
  #position = 0

  constructor(path: string, events: number) {
    this.#path = path
    this.#file = openSync(path, 'w+')
    const zeros = Buffer.alloc(windowBytes)
    for (let left = events * roomForEvent; left > 0; left -= zeros.length) {
      writeSync(this.#file, zeros)
    }
    fsyncSync(this.#file)
  }

  /** Writes the events with one call. */
  append(events: Events): void {
    if (this.#buffer.length < events.length * roomForEvent) {
      this.#buffer = Buffer.alloc(events.length * roomForEvent)
    }
    let end = 0
    for (const event of events) end = packEvent(this.#buffer, end, event)
    writeSync(this.#file, this.#buffer, 0, end, this.#position)
    this.#position += end
  }

  sync(): void {
    fdatasyncSync(this.#file)
  }

  /** Reads everything back, a MiB at a time, and gives each payload. */
  scan(onEvent: (payload: Uint8Array) => void): void {
    const window = Buffer.alloc(windowBytes)
    for (let position = 0; position < this.#position; ) {
      const filled = readSync(this.#file, window, 0, window.length, position)
      const bytes = window.subarray(0, Math.min(filled, this.#position - position))
      position += unpackEvents(bytes, onEvent)
    }
  }

  /** Closes the file and removes it. */
  [Symbol.dispose](): void {
    closeSync(this.#file)
    rmSync(this.#path)
  }
}

/** Groups of events, each written at once, and synced or not. */
export function rawAppends(
  settings: Settings,
  events: Events,
  groupSize: number,
  isSynced: boolean,
): Contender {
  const groups = groupsOf(events, groupSize)
  const round = async () => {
    using file = new RawFile(join(settings.folder, 'raw'), events.length)
    return await rate(events.length, () => {
      for (const group of groups) {
        file.append(group)
        if (isSynced) file.sync()
      }
    })
  }
  return { name: 'raw file', kind: 'raw', round }
}

/** Gives how many bytes were whole events. */
function unpackEvents(bytes: Buffer, onEvent: (payload: Uint8Array) => void): number {
  let start = 0
  for (let length = packedBytes(bytes, 0); length !== undefined; ) {
    onEvent(packedPayload(bytes, start))
    start += length
    length = packedBytes(bytes, start)
  }
  return start
}
