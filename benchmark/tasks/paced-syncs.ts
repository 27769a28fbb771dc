// What the device alone does with the bytes of a run: a zero-filled file is written and synced at the
// same pace, as much at a time, by a process that does nothing else.
import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const fileBytes = 64 << 20
const blockBytes = 1 << 20

export interface PacedSyncs {
  readonly file: string
  readonly seconds: number
  readonly bytesPerSecond: number
  /** Written, then synced. */
  readonly bytesPerSync: number
}

/** Times are in ms, each of a write and its sync. */
export interface SyncTimes {
  readonly seconds: number
  readonly syncs: number
  readonly median: number
  readonly longest: number
}

export async function pacedSyncs(task: PacedSyncs): Promise<SyncTimes> {
  const { file, seconds, bytesPerSecond, bytesPerSync } = task
  const opened = openSync(file, 'w+')
  const bytes = Buffer.alloc(bytesPerSync, 1)
  const times: number[] = []
  try {
    fillWithZeros(opened)
    const started = performance.now()
    for (let now = started, written = 0; now - started < seconds * 1000; now = performance.now()) {
      const early = started + (written / bytesPerSecond) * 1000 - now
      if (early > 1) await sleep(early)
      const asked = performance.now()
      writeSync(opened, bytes, 0, bytesPerSync, written % (fileBytes - bytesPerSync))
      fdatasyncSync(opened)
      times.push(performance.now() - asked)
      written += bytesPerSync
    }
  } finally {
    closeSync(opened)
    rmSync(file)
  }
  times.sort((a, b) => a - b)
  const [median = 0, longest = 0] = [times[times.length >> 1], times.at(-1)]
  return { seconds, syncs: times.length, median, longest }
}

function fillWithZeros(file: number): void {
  const zeros = Buffer.alloc(blockBytes)
  for (let written = 0; written < fileBytes; written += blockBytes) writeSync(file, zeros)
  fsyncSync(file)
}
