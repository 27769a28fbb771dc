// `npm run bench` and `npm run bench:compare`: takes all measurements, one after another, and writes
// the results as data.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { installedPeers } from '../contenders/install.js'
import type { Peer } from '../contenders/peer.js'
import { batchSize, fillStore } from '../contenders/subjects.js'
import { describeRun } from '../machine.js'
import { type Measurement, type Result, type Settings, take } from '../measurement.js'
import { appendBatches } from '../measurements/append-batches.js'
import { appendCallers } from '../measurements/append-callers.js'
import { appendOne } from '../measurements/append-one.js'
import { type ColdStore, coldStreams, name as nameOfCold } from '../measurements/cold-streams.js'
import { disk } from '../measurements/disk.js'
import { fillAll, openAll } from '../measurements/filled.js'
import { hold, name as nameOfHold } from '../measurements/hold.js'
import { manyEntities, name as nameOfManyEntities } from '../measurements/many-entities.js'
import { memory, name as nameOfMemory } from '../measurements/memory.js'
import { name as nameOfOpen, open } from '../measurements/open.js'
import { latest, nameOfLatest, nameOfStream, streams } from '../measurements/point-reads.js'
import { name as nameOfQuery, queries } from '../measurements/query.js'
import { nameOfAll, nameOfTwo, scans } from '../measurements/scan.js'
import { inNewFolder, run } from '../options.js'
import { EventSource, type Events, entityCount } from '../workload.js'
import { type Options, readOptions, usage } from './options.js'
import {
  type Comparison,
  describePeers,
  printHeader,
  printResults,
  printVerdicts,
  writeComparison,
} from './results.js'
import { judge } from './targets.js'

/** Those that want stores filled first. */
const readings = [
  ...[nameOfTwo, nameOfAll, nameOfStream, nameOfLatest, nameOfQuery],
  ...[nameOfHold, nameOfOpen, nameOfMemory, nameOfCold],
]

/** Takes some measurements; those that could not be made are left out. */
type Take = (measurements: Iterable<Measurement | undefined>) => Promise<void>

async function compareAppends(
  settings: Settings,
  events: Events,
  peers: readonly Peer[],
  takeAll: Take,
): Promise<void> {
  await takeAll([
    appendOne(settings, events, peers),
    appendCallers(settings, events, peers),
    appendBatches(settings, events, peers, 'sync'),
    appendBatches(settings, events, [], 'interval'),
    appendBatches(settings, events, peers, 'none'),
    disk(settings, events, peers),
  ])
}

async function compareReads(
  settings: Settings,
  events: Events,
  peers: readonly Peer[],
  options: Options,
  takeAll: Take,
): Promise<void> {
  const paths = await fillAll(settings, events, peers)
  {
    await using filled = await openAll(paths)
    await takeAll(scans(settings, filled, events))
    await takeAll([streams(filled), latest(filled), ...queries(filled)])
  }
  await takeAll([hold(settings, paths.store)])
  const tenfold = await fillTenfold(settings)
  await takeAll([open(paths, tenfold.path)])
  if (process.platform === 'linux') {
    await takeAll([memory(paths.store, tenfold.path, events.length)])
  }
  await takeAll([coldStreams(settings, tenfold, options.deviceBytes)])
  rmSync(tenfold.path, { recursive: true })
}

/** A store with ten times the events, of ten times the entities. */
async function fillTenfold({ folder, events }: Settings): Promise<ColdStore> {
  const tenfold = { path: join(folder, 'tenfold'), events: 10 * events, entities: 10 * entityCount }
  const source = new EventSource({ entities: tenfold.entities })
  await fillStore(tenfold.path, source.batches(tenfold.events, batchSize))
  return tenfold
}

async function compare(options: Options, folder: string): Promise<void> {
  const { events: count, entities, rounds } = options
  const described = describeRun(folder)
  const installed = options.hasPeers ? installedPeers() : { peers: [], missing: [] }
  let comparison: Comparison = {
    ...described,
    settings: { events: count, entities, rounds },
    ...describePeers(installed),
    results: [],
    verdicts: [],
  }
  printHeader(comparison)
  const settings = { events: count, rounds, folder }
  const isAsked = (name: string) => name.includes(options.only)
  const takeAll: Take = async (measurements) => {
    for (const measurement of measurements) {
      if (measurement === undefined || !isAsked(measurement.name)) continue
      const taken = await take(measurement, rounds)
      printResults(taken)
      const results: Result[] = [...comparison.results, ...taken]
      comparison = { ...comparison, results, verdicts: judge(results) }
      writeComparison(options.results, options.name, comparison) // an interrupted run leaves some
    }
  }
  const events = new EventSource().next(count)
  await compareAppends(settings, events, installed.peers, takeAll)
  if (readings.some(isAsked)) {
    await compareReads(settings, events, installed.peers, options, takeAll)
  }
  if (isAsked(nameOfManyEntities)) await takeAll([await manyEntities(settings, entities)])
  printVerdicts(comparison.verdicts)
  console.log(`\nWritten to ${join(options.results, options.name)}.json`)
}

await run(async () => {
  const options = readOptions(process.argv.slice(2))
  if (options.help) {
    console.log(usage)
    return
  }
  await inNewFolder(options.folder, 'benchmark', (folder) => compare(options, folder))
})
