// Allocated blocks of all files of a closed store.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Store } from 'tetralog'
import type { Peer } from '../contenders/peer.js'
import { batchSize, fillPeerStore, fillStore, inFreshFolder } from '../contenders/subjects.js'
import type { Contender, Kind, Measurement, Settings } from '../measurement.js'
import { type Events, groupsOf, type WorkloadEvent } from '../workload.js'

export const name = 'disk, all files, closed'
export const wayBatches = 'batches of 1000'
export const waySingle = 'frames of one event'
const blockBytes = 512

export function disk(settings: Settings, events: Events, peers: readonly Peer[]): Measurement {
  const sizeOf = (way: string, kind: Kind, fill: (path: string) => Promise<void>): Contender => ({
    name: way,
    kind,
    round: () =>
      inFreshFolder(settings, async (path) => {
        await fill(path)
        return allocatedBytes(path) / events.length
      }),
  })
  return {
    name,
    unit: 'bytes/event',
    size: `${events.length} events`,
    contenders: [
      sizeOf(wayBatches, 'tetralog', (path) => fillStore(path, groupsOf(events, batchSize))),
      sizeOf(waySingle, 'tetralog', (path) => fillSingly(path, events)),
      ...peers.map((peer) =>
        sizeOf(peer.name, 'peer', (path) => fillPeerStore(peer, path, events)),
      ),
    ],
  }
}

async function fillSingly(path: string, events: Events): Promise<void> {
  await using store = await Store.open(path, { durability: 'none' })
  for (const event of events) await store.append<WorkloadEvent>(event)
}

/** Of all files below a folder, or of those that are counted by their names. */
export function allocatedBytes(folder: string, isCounted = (_file: string) => true): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && isCounted(entry.name))
    .reduce((sum, { parentPath, name: file }) => {
      return sum + statSync(join(parentPath, file)).blocks * blockBytes
    }, 0)
}
