// An event of the workload as bytes: what the raw file and LMDB keep.
import type { NewEvent } from 'tetralog'
import type { WorkloadEvent } from './workload.js'

const headerBytes = 16
const clockBytes = 8
/** More than any event of the workload takes. */
export const roomForEvent = 352

/** Gives where the event ends. */
export function packEvent(buffer: Buffer, start: number, event: NewEvent<WorkloadEvent>): number {
  const { entity, fact, scope = '', payload } = event
  let end = start + headerBytes
  end += buffer.write(entity, end, 'latin1')
  end += buffer.write(fact, end, 'latin1')
  end += buffer.write(scope, end, 'latin1')
  buffer.set(event.clock as Uint8Array, end)
  end += clockBytes
  buffer.set(payload, end)
  end += payload.length
  buffer.writeUInt32LE(end - start, start)
  buffer.writeUInt32LE(payload.length, start + 4)
  buffer.writeUInt16LE(entity.length, start + 8)
  buffer.writeUInt16LE(fact.length, start + 10)
  buffer.writeUInt16LE(scope.length, start + 12)
  return end
}

/** The bytes that the event at the start takes, or undefined if it is not whole. */
export function packedBytes(bytes: Buffer, start: number): number | undefined {
  if (start + headerBytes > bytes.length) return undefined
  const length = bytes.readUInt32LE(start)
  return start + length > bytes.length ? undefined : length
}

export function packedPayload(bytes: Buffer, start = 0): Uint8Array {
  const end = start + bytes.readUInt32LE(start)
  return bytes.subarray(end - bytes.readUInt32LE(start + 4), end)
}

export interface UnpackedEvent {
  readonly entity: string
  readonly fact: string
  readonly scope: string
  readonly clock: Uint8Array
  readonly payload: Uint8Array
}

export function unpackEvent(bytes: Buffer): UnpackedEvent {
  const entityEnd = headerBytes + bytes.readUInt16LE(8)
  const factEnd = entityEnd + bytes.readUInt16LE(10)
  const scopeEnd = factEnd + bytes.readUInt16LE(12)
  return {
    entity: bytes.toString('latin1', headerBytes, entityEnd),
    fact: bytes.toString('latin1', entityEnd, factEnd),
    scope: bytes.toString('latin1', factEnd, scopeEnd),
    clock: bytes.subarray(scopeEnd, scopeEnd + clockBytes),
    payload: packedPayload(bytes),
  }
}
