// Memory that events are views of. Whoever sends it to another thread by transfer would take it from all of them.
import { markAsUntransferable } from 'node:worker_threads'

/** Sees to it that a transfer copies bytes, or is refused. Those of Node's pool are not to be transferred anyway. */
export function keepHere<B extends Uint8Array>(bytes: B): B {
  if (bytes.length === bytes.buffer.byteLength) markAsUntransferable(bytes.buffer)
  return bytes
}
