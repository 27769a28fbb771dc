// `npm run bench`: takes all measurements, one after another, and writes the results as data.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Durability, Store } from 'tetralog'
import { describeMachine, describeVersions } from './machine.js'
import { type Measurement, type Result, type Settings, take } from './measurement.js'
import { appendBatches } from './measurements/append-batches.js'
import { appendCallers } from './measurements/append-callers.js'
import { appendOne } from './measurements/append-one.js'
import { disk } from './measurements/disk.js'
import { memory } from './measurements/memory.js'
import { open } from './measurements/open.js'
import { latest, streams } from './measurements/point-reads.js'
import { query } from './measurements/query.js'
import { scan } from './measurements/scan.js'
import { type Options, readOptions, usage } from './options.js'
import { type Header, printHeader, printResults, writeResults } from './report.js'
import { type Events, fillStore } from './stores.js'
import { makeEvents } from './workload.js'

const durabilities: readonly Durability[] = ['sync', 'interval', 'none']

function* appends(settings: Settings, events: Events): Generator<Measurement> {
  for (const kind of [appendOne, appendCallers, appendBatches]) {
    for (const durability of durabilities) yield kind(settings, events, durability)
  }
}

function* reads(settings: Settings, store: Store, events: Events): Generator<Measurement> {
  yield scan(settings, store, events)
  yield streams(store, events.length)
  yield latest(store, events.length)
  yield query(store, events.length)
}

function* openings(path: string, events: number): Generator<Measurement> {
  yield open(path, events)
  if (process.platform === 'linux') yield memory(path, events)
}

async function measure(
  settings: Settings,
  only: string,
  onResults: (results: readonly Result[]) => void,
): Promise<void> {
  const takeAll = async (measurements: Iterable<Measurement>) => {
    for (const measurement of measurements) {
      if (!measurement.name.includes(only)) continue
      const taken = await take(measurement, settings.rounds)
      printResults(taken)
      onResults(taken)
    }
  }
  const events = makeEvents(settings.events)
  await takeAll(appends(settings, events))
  const path = join(settings.folder, 'reads')
  await fillStore(path, events)
  await takeAll(openings(path, events.length))
  {
    await using store = await Store.open(path)
    await takeAll(reads(settings, store, events))
  }
  await takeAll([disk(settings, events)])
}

async function main(options: Options): Promise<void> {
  const versions = describeVersions()
  if (versions.build !== 'release') {
    throw new Error('A debug build tells nothing about speed: build with "npm run build" first.')
  }
  mkdirSync(options.folder, { recursive: true })
  const folder = mkdtempSync(join(options.folder, 'benchmark-'))
  try {
    const { name, events, rounds } = options
    const machine = describeMachine(folder)
    const date = new Date().toISOString()
    const header: Header = { name, date, machine, versions, settings: { events, rounds } }
    printHeader(header)
    const results: Result[] = []
    await measure({ events, rounds, folder }, options.only, (taken) => {
      results.push(...taken)
      writeResults(options.results, header, results) // so that an interrupted run leaves some
    })
    console.log(`\nWritten to ${options.results}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

try {
  const options = readOptions(process.argv.slice(2))
  if (options.help) console.log(usage)
  else await main(options)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
