// `npm run bench:growth`: stores of growing sizes, and a run over time; the results are data.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatWhole } from '../format.js'
import { describeRun, type Header } from '../machine.js'
import { deviceReads } from '../measurements/cold-streams.js'
import { inNewFolder, run } from '../options.js'
import { canDropPageCache } from '../page-cache.js'
import type { FlatOut } from '../tasks/flat-out.js'
import { bareMemory, runTask } from '../tasks/run.js'
import { type Options, readOptions, usage } from './options.js'
import type { FlatOutRun, Growth, OverTime } from './results.js'
import { type GrowthPoint, measureSize, shapes } from './sizes.js'

async function measureSizes(options: Options, header: Header, folder: string): Promise<void> {
  const device = canDropPageCache() && (await deviceReads(folder, options.deviceBytes))
  const points: GrowthPoint[] = []
  const bareMemoryKiB = await bareMemory()
  for (const events of [...options.sizes].sort((a, b) => a - b)) {
    for (const shape of shapes) {
      points.push(await measureSize(options.folder, shape, events, options.keep))
      const growth: Growth = {
        ...header,
        bareMemoryKiB,
        ...(device !== false && { deviceReadsPerSecond: device }),
        points,
      }
      write(options, 'growth', growth) // so that an interrupted run leaves some
    }
  }
}

async function runOverTime(options: Options, header: Header, folder: string): Promise<void> {
  const runs: FlatOutRun[] = []
  for (const manner of ['batches', 'callers'] as const) {
    const path = join(folder, 'over-time')
    const { secondsFlatOut: seconds, mostBytes } = options
    console.log(`\n${seconds} s of appends, ${manner}`)
    const task: FlatOut = { path, manner, seconds, mostBytes }
    const { samples, memory } = await runTask('flatOut', task)
    rmSync(path, { recursive: true })
    const events = samples.reduce((sum, second) => sum + second.events, 0)
    const longest = samples.reduce((most, { longestMs }) => Math.max(most, longestMs), 0)
    console.log(
      `  ${formatWhole(events)} events in ${samples.length} s, longest append ${longest.toFixed(1)} ms`,
    )
    runs.push({ manner, samples, memory })
    const overTime: OverTime = { ...header, runs }
    write(options, 'over-time', overTime)
  }
}

function write({ results }: Options, name: string, data: Growth | OverTime): void {
  mkdirSync(results, { recursive: true })
  writeFileSync(join(results, `${name}.json`), `${JSON.stringify(data, null, 1)}\n`)
}

await run(async () => {
  const options = readOptions(process.argv.slice(2))
  if (options.help) {
    console.log(usage)
    return
  }
  await inNewFolder(options.folder, 'growth', async (folder) => {
    const header = describeRun(folder)
    if (options.parts.includes('sizes')) await measureSizes(options, header, folder)
    if (options.parts.includes('time')) await runOverTime(options, header, folder)
    console.log(`\nWritten to ${options.results}; "npm run bench:report" draws it.`)
  })
})
