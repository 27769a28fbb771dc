// `npm run bench:growth`: stores of growing sizes, a store of very many entities, and runs over time;
// the results are data.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeRun, type Header } from '../machine.js'
import { deviceReads } from '../measurements/cold-streams.js'
import { inNewFolder, run } from '../options.js'
import { canDropPageCache } from '../page-cache.js'
import { manners } from '../tasks/flat-out.js'
import { bareMemory } from '../tasks/run.js'
import { measureEntities } from './entities.js'
import { type Options, readOptions, usage } from './options.js'
import { runOverTime } from './over-time.js'
import type { EntitiesResult, FlatOutRun, Growth, OverTime } from './results.js'
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

async function measureManyEntities(
  options: Options,
  header: Header,
  folder: string,
): Promise<void> {
  write(options, 'entities', { ...header, ...(await measureEntities(folder, options.entities)) })
}

async function measureTime(options: Options, header: Header, folder: string): Promise<void> {
  const { secondsFlatOut: seconds, mostBytes } = options
  const runs: FlatOutRun[] = []
  for (const manner of manners) {
    runs.push(await runOverTime(folder, manner, { seconds, mostBytes }))
    write(options, 'over-time', { ...header, runs })
  }
}

function write({ results }: Options, name: string, data: Growth | EntitiesResult | OverTime): void {
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
    if (options.parts.includes('entities')) await measureManyEntities(options, header, folder)
    if (options.parts.includes('time')) await measureTime(options, header, folder)
    console.log(`\nWritten to ${options.results}; "npm run bench:report" draws it.`)
  })
})
