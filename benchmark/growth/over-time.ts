// Appends for some minutes, in each manner, and what the device alone does with as many bytes.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { formatWhole } from '../format.js'
import { type Manner, ways } from '../tasks/flat-out.js'
import { runTask } from '../tasks/run.js'
import type { FlatOutRun } from './results.js'

const mostDeviceSeconds = 120

export interface Bounds {
  readonly seconds: number
  readonly mostBytes: number
}

export async function runOverTime(
  folder: string,
  manner: Manner,
  { seconds, mostBytes }: Bounds,
): Promise<FlatOutRun> {
  const { eventBytes, bytesPerSync } = ways[manner]
  const pace = Math.floor(mostBytes / eventBytes / seconds)
  console.log(`\n${seconds} s of appends, ${manner}, at most ${formatWhole(pace)} a second`)
  const path = join(folder, 'over-time')
  const { samples, longest, memory } = await runTask('flatOut', { path, manner, seconds, pace })
  rmSync(path, { recursive: true })
  const events = samples.reduce((sum, second) => sum + second.events, 0)
  const most = longest[0]?.ms ?? 0
  console.log(
    `  ${formatWhole(events)} events in ${samples.length} s, longest append ${most.toFixed(1)} ms`,
  )
  const device = await runTask('pacedSyncs', {
    file: join(folder, 'device'),
    seconds: Math.min(seconds, mostDeviceSeconds),
    bytesPerSecond: (events / samples.length) * eventBytes,
    bytesPerSync,
  })
  console.log(`  the device alone: longest write and sync ${device.longest.toFixed(1)} ms`)
  return { manner, pace, samples, longest, device, memory }
}
