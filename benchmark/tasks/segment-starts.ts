// Where the segments of a closed store begin, by the header page of each (docs/format.md).
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

const basePositionAt = 80

/** The position of the first event of each segment. */
export function segmentStarts(path: string): number[] {
  const folder = join(path, 'segments')
  const files = readdirSync(folder).filter((name) => name.endsWith('.seg'))
  return files.map((name) => basePosition(join(folder, name)))
}

function basePosition(path: string): number {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(8)
    readSync(file, bytes, 0, bytes.length, basePositionAt)
    return Number(bytes.readBigUInt64LE())
  } finally {
    closeSync(file)
  }
}
