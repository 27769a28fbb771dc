// What becomes of a store as it grows: every task in a process of its own, one after another.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { formatWhole } from '../format.js'
import { allocatedBytes } from '../measurements/disk.js'
import { canDropPageCache, dropPageCache } from '../page-cache.js'
import { runTask } from '../tasks/run.js'
import type { StoreTask } from '../tasks/store-tasks.js'
import { entityCount } from '../workload.js'

const warmOpens = 5
export const shapes = ['10,000 entities', 'one entity per ten events'] as const
export type Shape = (typeof shapes)[number]

/** Rates are a second, memory is in KiB and times are in ms. Cold: after the page cache was dropped.
 *  `making` is what the events take that are appended, made without a store. */
export interface GrowthPoint extends Awaited<ReturnType<typeof measureStore>> {
  readonly shape: Shape
  readonly events: number
  readonly entities: number
}

/** Makes a store, measures it, and deletes it unless it is to be kept. */
export async function measureSize(
  folder: string,
  shape: Shape,
  events: number,
  keep: boolean,
): Promise<GrowthPoint> {
  const entities = shape === '10,000 entities' ? entityCount : Math.ceil(events / 10)
  const path = join(folder, `growth-${events}-of-${entities}`)
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { recursive: true })
  console.log(`\n${formatWhole(events)} events, ${shape}`)
  try {
    return { shape, events, entities, ...(await measureStore({ path, events, entities })) }
  } finally {
    if (!keep) rmSync(path, { recursive: true })
  }
}

async function measureStore(task: StoreTask) {
  const { path, events } = task
  const making = await runTask('makeEvents', task)
  const append = await say('append', runTask('fill', task))
  const bytesPerEvent = allocatedBytes(path) / events
  const indexBytesPerEvent = allocatedBytes(path, isDerived) / events
  const opening = {
    coldMs: canDropPageCache() ? await openCold(path) : undefined,
    warmMs: await runTask('timeOpenings', { path, opens: warmOpens }),
    memory: await runTask('memoryAfterOpening', { path }),
  }
  await say('open', Promise.resolve(opening))
  const reads = await say('reads', runTask('readSome', task))
  const scan = await say('scan', runTask('scanAll', { ...task, isQuery: false }))
  const everything = await say(
    'query over everything',
    runTask('scanAll', { ...task, isQuery: true }),
  )
  const coldEventsPerSecond = canDropPageCache()
    ? await say('cold streams', runTask('readCold', task))
    : undefined
  const size = { bytesPerEvent, indexBytesPerEvent }
  return { append, making, opening, reads, scan, everything, coldEventsPerSecond, ...size }
}

/** Whatever is not the log. */
function isDerived(file: string): boolean {
  return !file.endsWith('.seg') && file !== 'MANIFEST'
}

function openCold(path: string): Promise<number> {
  dropPageCache()
  return runTask('timeOpenings', { path, opens: 1 })
}

async function say<T>(what: string, work: Promise<T>): Promise<T> {
  const result = await work
  console.log(`  ${what.padEnd(24)}${JSON.stringify(result)}`)
  return result
}
