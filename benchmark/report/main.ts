// `npm run bench:report`: writes the tables of docs/performance.md and the plots from the data in
// benchmark/results. With --check it only says whether they are what the data gives.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Comparison } from '../compare/results.js'
import type { EntitiesResult, Growth, OverTime } from '../growth/results.js'
import { inProject, resultsFolder, run } from '../options.js'
import type { Profiles } from '../profile/main.js'
import { overTimeTable, stallsTable } from './over-time.js'
import { type Drawings, growthPlots, overTimePlots } from './plots.js'
import { fillSection } from './sections.js'
import {
  entitiesTable,
  growthTable,
  holdsTable,
  profilesTable,
  resultsTable,
  targetsTable,
} from './tables.js'

const page = inProject('docs/performance.md')

function read<T>(name: string): T | undefined {
  const path = join(resultsFolder, `${name}.json`)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

/** What files are to contain, by path. Data that is missing gives a sentence that says so. */
function makeReport(): Map<string, string> {
  const comparison = read<Comparison>('compare')
  const growth = read<Growth>('growth')
  const entities = read<EntitiesResult>('entities')
  const overTime = read<OverTime>('over-time')
  const profiles = read<Profiles>('profile')
  const tables = {
    targets: comparison && targetsTable(comparison),
    results: comparison && resultsTable(comparison),
    holds: comparison && holdsTable(comparison),
    growth: growth && growthTable(growth),
    plots: growth && images(growthPlots(growth)),
    entities: entities && entitiesTable(entities),
    'over-time':
      overTime && [overTimeTable(overTime), images(overTimePlots(overTime))].join('\n\n'),
    stalls: overTime && stallsTable(overTime),
    profiles: profiles && profilesTable(profiles),
  }
  let text = readFileSync(page, 'utf8')
  for (const [name, content] of Object.entries(tables)) {
    text = fillSection(text, name, content ?? 'Not measured yet.')
  }
  const drawings = [
    ...(growth ? growthPlots(growth) : []),
    ...(overTime ? overTimePlots(overTime) : []),
  ]
  const files = drawings.map(([name, svg]) => [join(resultsFolder, name), svg] as const)
  return new Map([[page, text], ...files])
}

function images(drawings: Drawings): string {
  const names = [...drawings.keys()]
  return names.map((name) => `![${name}](../benchmark/results/${name})`).join('\n\n')
}

await run(async () => {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
  for (const [path, content] of makeReport()) {
    const isCurrent = existsSync(path) && readFileSync(path, 'utf8') === content
    if (isCurrent) continue
    if (values.check)
      throw new Error(`${path} is not what the data gives: run "npm run bench:report".`)
    writeFileSync(path, content)
    console.log(`Written: ${path}`)
  }
})
