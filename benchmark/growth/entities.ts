// A store of very many entities: made by one process, asked by another.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { formatWhole } from '../format.js'
import { allocatedBytes } from '../measurements/disk.js'
import { runTask } from '../tasks/run.js'

/** Rates are a second, times are in ms and memory is in KiB. */
export type ManyEntities = Awaited<ReturnType<typeof measureEntities>>

export async function measureEntities(folder: string, entities: number) {
  const path = join(folder, 'entities')
  console.log(`\n${formatWhole(entities)} entities, one event each`)
  const task = { path, entities }
  const append = await runTask('fillEntities', task)
  console.log(`  append  ${JSON.stringify(append)}`)
  const sizes = {
    bytesPerEntity: allocatedBytes(path) / entities,
    directoryBytesPerEntity: allocatedBytes(path, isDirectory) / entities,
  }
  console.log(`  disk    ${JSON.stringify(sizes)}`)
  const ask = await runTask('askEntities', task)
  console.log(`  ask     ${JSON.stringify(ask)}`)
  rmSync(path, { recursive: true })
  return { entities, append, ask, ...sizes }
}

function isDirectory(file: string): boolean {
  return file.endsWith('.heads')
}
