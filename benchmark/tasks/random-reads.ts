// How many pages a second the device gives at random, past the page cache. The depth is that of
// libuv's threads: set UV_THREADPOOL_SIZE to the same.
import { closeSync, constants, fsyncSync, openSync, read, rmSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { rate } from '../measurement.js'
import { randomNumbers } from '../workload.js'

declare const WebAssembly: {
  Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer }
}

const depth = 32
const pageBytes = 4096
const wasmPageBytes = 1 << 16
const blockBytes = 1 << 20
const mostReads = 50_000

/** Reads a second. Makes a file of that many bytes, which is removed afterwards. */
export async function randomReads({ file, bytes }: { file: string; bytes: number }) {
  makeFile(file, bytes)
  const opened = openSync(file, constants.O_RDONLY | constants.O_DIRECT)
  try {
    return await readPages(opened, Math.floor(bytes / pageBytes))
  } finally {
    closeSync(opened)
    rmSync(file)
  }
}

function readPages(file: number, pages: number): Promise<number> {
  const random = randomNumbers(5)
  const reads = Math.min(mostReads, pages)
  const buffers = alignedBuffers()
  let left = reads
  const reader = async (buffer: Uint8Array) => {
    while (left > 0) {
      left -= 1
      await promisify(read)(file, buffer, 0, pageBytes, random(pages) * pageBytes)
    }
  }
  return rate(reads, async () => {
    await Promise.all(buffers.map(reader))
  })
}

/** Reads past the page cache want buffers at addresses of whole blocks; WebAssembly's memory is. */
function alignedBuffers(): Uint8Array[] {
  const { buffer } = new WebAssembly.Memory({ initial: (depth * pageBytes) / wasmPageBytes })
  return Array.from({ length: depth }, (_, index) => {
    return new Uint8Array(buffer, index * pageBytes, pageBytes)
  })
}

/** Not zeros, and no two blocks alike: some devices store less of those. */
function makeFile(path: string, bytes: number): void {
  const random = randomNumbers(3)
  const file = openSync(path, 'w')
  const block = Buffer.alloc(blockBytes)
  for (let index = 0; index < blockBytes; index += 1) block[index] = random(256)
  for (let written = 0; written < bytes; written += blockBytes) {
    for (let at = 0; at < blockBytes; at += pageBytes) block.writeUInt32LE(random(2 ** 32), at)
    writeSync(file, block)
  }
  fsyncSync(file)
  closeSync(file)
}
