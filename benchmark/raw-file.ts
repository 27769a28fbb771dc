// The practical limit: the same bytes, framed and written into a zero-filled file, with no index,
// no hash and no check. Everything happens on the calling thread.
import { closeSync, fdatasyncSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import type { NewEvent } from 'tetralog'
import type { WorkloadEvent } from './workload.js'

const headerBytes = 16
/** More than any event of the workload takes with its header. */
export const roomForEvent = 352

export class RawFile {
  readonly #file: number
  #buffer = Buffer.alloc(roomForEvent)
  #position = 0

  constructor(path: string, events: number) {
    this.#file = openSync(path, 'w+')
    const zeros = Buffer.alloc(1 << 20)
    for (let left = events * roomForEvent; left > 0; left -= zeros.length) {
      writeSync(this.#file, zeros)
    }
    fsyncSync(this.#file)
  }

  /** Writes the events with one call. */
  append(events: readonly NewEvent<WorkloadEvent>[]): void {
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
    const window = Buffer.alloc(1 << 20)
    for (let position = 0; position < this.#position; ) {
      const filled = readSync(this.#file, window, 0, window.length, position)
      const bytes = window.subarray(0, Math.min(filled, this.#position - position))
      position += unpackEvents(bytes, onEvent)
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}

function packEvent(buffer: Buffer, start: number, event: NewEvent<WorkloadEvent>): number {
  const { entity, fact, scope = '', payload } = event
  let end = start + headerBytes
  end += buffer.write(entity, end, 'latin1')
  end += buffer.write(fact, end, 'latin1')
  end += buffer.write(scope, end, 'latin1')
  buffer.set(event.clock as Uint8Array, end)
  end += 8
  const payloadStart = end
  buffer.set(payload, end)
  end += payload.length
  buffer.writeUInt32LE(end - start, start)
  buffer.writeUInt32LE(payloadStart - start, start + 4)
  buffer.writeUInt32LE(payload.length, start + 8)
  buffer.writeUInt16LE(entity.length, start + 12)
  buffer.writeUInt16LE(fact.length, start + 14)
  return end
}

/** Gives how many bytes were whole events. */
function unpackEvents(bytes: Buffer, onEvent: (payload: Uint8Array) => void): number {
  let start = 0
  while (start + headerBytes <= bytes.length) {
    const length = bytes.readUInt32LE(start)
    if (start + length > bytes.length) break
    const payloadStart = start + bytes.readUInt32LE(start + 4)
    onEvent(bytes.subarray(payloadStart, payloadStart + bytes.readUInt32LE(start + 8)))
    start += length
  }
  return start
}
