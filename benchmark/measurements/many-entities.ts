// Appends to a store that knows very many entities, beside one that has as many events of few. Each
// round appends more to the same two stores.
import { join } from 'node:path'
import { Store } from 'tetralog'
import { appendAhead, batchSize, fillStore } from '../contenders/subjects.js'
import { type Contender, type Measurement, rate, type Settings } from '../measurement.js'
import { EventSource, entityCount } from '../workload.js'

export const name = 'append batches of 1000, no sync, by entities'
export const wayFew = 'few entities'
export const wayMany = 'many entities'

export async function manyEntities(settings: Settings, entities: number): Promise<Measurement> {
  const filled = async (contender: string, count: number): Promise<Contender> => {
    const path = join(settings.folder, contender)
    const source = new EventSource({ entities: count, isEveryEntityFirst: true })
    await fillStore(path, source.batches(entities, batchSize))
    return { name: contender, kind: 'tetralog', round: () => appendMore(path, source, settings) }
  }
  return {
    name,
    unit: 'events/s',
    size: `${settings.events} more events in stores of ${entities}, of ${entityCount} and ${entities} entities`,
    contenders: [
      await filled(wayFew, Math.min(entityCount, entities)),
      await filled(wayMany, entities),
    ],
  }
}

async function appendMore(
  path: string,
  source: EventSource,
  { events }: Settings,
): Promise<number> {
  const batches = [...source.batches(events, batchSize)]
  await using store = await Store.open(path, { durability: 'none' })
  return await rate(events, () => appendAhead(store, batches))
}
