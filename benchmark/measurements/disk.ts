// Allocated blocks of all files of a closed store. Segments are small here, so that the room that
// the active one has in advance does not count for much.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Store } from 'tetralog'
import type { Contender, Measurement, Settings } from '../measurement.js'
import { type Events, fillStore } from '../stores.js'
import type { WorkloadEvent } from '../workload.js'

const segmentMaxBytes = 8 << 20
const blockBytes = 512
const mostSingleEvents = 100_000

export function disk(settings: Settings, events: Events): Measurement {
  const singles = events.slice(0, mostSingleEvents)
  return {
    name: 'disk, all files, closed',
    unit: 'bytes/event',
    size: `${events.length} events; ${singles.length} as frames of one event`,
    contenders: [
      filled(settings, 'batches of 1000', events, (path) =>
        fillStore(path, events, { segmentMaxBytes }),
      ),
      filled(settings, 'frames of one event', singles, (path) => fillSingly(path, singles)),
    ],
  }
}

function filled(
  settings: Settings,
  name: string,
  events: Events,
  fill: (path: string) => Promise<void>,
): Contender {
  const round = async () => {
    const path = mkdtempSync(join(settings.folder, 'disk-'))
    try {
      await fill(path)
      return allocatedBytes(path) / events.length
    } finally {
      rmSync(path, { recursive: true })
    }
  }
  return { name, round }
}

async function fillSingly(path: string, events: Events): Promise<void> {
  await using store = await Store.open(path, { durability: 'none', segmentMaxBytes })
  for (const event of events) await store.append<WorkloadEvent>(event)
}

function allocatedBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => {
      return sum + statSync(join(parentPath, name)).blocks * blockBytes
    }, 0)
}
