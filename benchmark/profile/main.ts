// `npm run bench:profile`: where the processor's time goes in the measurements of the comparison, by
// thread and function; the results are data. Needs perf of Linux.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatShort } from '../format.js'
import { describeRun, type Header } from '../machine.js'
import { inNewFolder, resultsFolder, run, storesFolder, wholeNumber } from '../options.js'
import type { Profile } from '../tasks/profile.js'
import { runTask } from '../tasks/run.js'
import { whyNoPerf } from './perf.js'
import { workloads } from './workloads.js'

const usage = `Usage: npm run bench:profile [-- options]

  --events N        how many events the workload has (default: 500000)
  --entities N      how many the store of many entities has (default: 2000000)
  --only TEXT       only measurements whose names contain it
  --results FOLDER  where the results are written (default: benchmark/results)
  --folder FOLDER   where the stores are made (default: .tetralog here)`

/** So that the profiler knows the names of JavaScript's functions. */
const env = { NODE_OPTIONS: '--perf-basic-prof-only-functions' }

export interface Profiles extends Header {
  readonly settings: { readonly events: number; readonly entities: number }
  readonly profiles: readonly Profile[]
}

function readOptions() {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      ...{ events: text, entities: text, only: text, results: text, folder: text },
      help: { type: 'boolean', default: false },
    },
  })
  return {
    events: wholeNumber('--events', values.events ?? '500000'),
    entities: wholeNumber('--entities', values.entities ?? '2000000'),
    only: values.only ?? '',
    results: values.results ?? resultsFolder,
    folder: values.folder ?? storesFolder,
    help: values.help,
  }
}

async function profileAll(options: ReturnType<typeof readOptions>, folder: string): Promise<void> {
  const { events, entities, only, results } = options
  const header = describeRun(folder)
  const profiles: Profile[] = []
  for (const name of Object.keys(workloads).filter((known) => known.includes(only))) {
    const own = join(folder, 'profile')
    mkdirSync(own)
    const taken = await runTask('profile', { name, folder: own, events, entities }, env)
    rmSync(own, { recursive: true })
    for (const profile of taken) print(profile)
    profiles.push(...taken)
  }
  mkdirSync(results, { recursive: true })
  const all: Profiles = { ...header, settings: { events, entities }, profiles }
  writeFileSync(join(results, 'profile.json'), `${JSON.stringify(all, null, 1)}\n`)
}

function print({ measurement, contender, cpuUs, itemsPerSecond, threads }: Profile): void {
  const rate = `${formatShort(itemsPerSecond)}/s, ${formatShort(cpuUs)} µs of the processor each`
  console.log(`\n${measurement}, ${contender}: ${rate}`)
  for (const { thread, us, functions } of threads) {
    const first = functions.slice(0, 3).map(({ name, share }) => {
      return `${name} ${formatShort(share * 100)} %`
    })
    console.log(`  ${thread.padEnd(11)} ${formatShort(us).padStart(7)} µs  ${first.join(', ')}`)
  }
}

await run(async () => {
  const options = readOptions()
  if (options.help) {
    console.log(usage)
    return
  }
  const missing = whyNoPerf()
  if (missing !== undefined) {
    console.log(`SKIPPED: nothing is profiled. ${missing}`)
    return
  }
  await inNewFolder(options.folder, 'profile', (folder) => profileAll(options, folder))
})
