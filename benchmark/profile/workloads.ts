// The measurements of the comparison that are profiled, each by its name.
import { join } from 'node:path'
import type { Measurement, Settings } from '../measurement.js'
import * as batches from '../measurements/append-batches.js'
import * as calls from '../measurements/append-callers.js'
import { type Filled, fillAll, openAll } from '../measurements/filled.js'
import * as many from '../measurements/many-entities.js'
import * as points from '../measurements/point-reads.js'
import * as query from '../measurements/query.js'
import * as scan from '../measurements/scan.js'
import { EventSource, type Events } from '../workload.js'

export interface ProfileSettings {
  /** Empty at the beginning. */
  readonly folder: string
  readonly events: number
  /** Of the store of many entities. */
  readonly entities: number
}

type Prepare = (settings: Settings, task: ProfileSettings) => Promise<Prepared>

/** A measurement, and what is to be closed behind it. */
interface Prepared {
  readonly measurement: Measurement
  readonly filled?: Filled
}

export const workloads: Readonly<Record<string, Prepare>> = {
  [calls.name]: appends((settings, events) => calls.appendCallers(settings, events, [])),
  [batches.name('sync')]: appends((...given) => batches.appendBatches(...given, [], 'sync')),
  [batches.name('none')]: appends((...given) => batches.appendBatches(...given, [], 'none')),
  [scan.nameOfTwo]: reads(scan.scans, scan.nameOfTwo),
  [scan.nameOfAll]: reads(scan.scans, scan.nameOfAll),
  [points.nameOfStream]: reads((_, filled) => [points.streams(filled)], points.nameOfStream),
  [points.nameOfLatest]: reads((_, filled) => [points.latest(filled)], points.nameOfLatest),
  [query.name]: reads((_, filled) => query.queries(filled), query.name),
  [many.name]: async (settings, { entities }) => ({
    measurement: await many.manyEntities(settings, entities),
  }),
}

function appends(make: (settings: Settings, events: Events) => Measurement): Prepare {
  return async (settings) => ({
    measurement: make(settings, new EventSource().next(settings.events)),
  })
}

function reads(
  make: (settings: Settings, filled: Filled, events: Events) => readonly Measurement[],
  name: string,
): Prepare {
  return async (settings) => {
    const events = new EventSource().next(settings.events)
    const folder = join(settings.folder, 'filled')
    const filled = await openAll(await fillAll({ ...settings, folder }, events, []))
    const measurement = make(settings, filled, events).find((made) => made.name === name)
    if (measurement === undefined) throw new Error(`There is no measurement "${name}".`)
    return { measurement, filled }
  }
}
