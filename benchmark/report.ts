// Prints results as they come, and keeps all of them as data.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Machine, Versions } from './machine.js'
import type { Result, Settings, Unit } from './measurement.js'

const numbers = new Intl.NumberFormat('en-US')

export interface Header {
  readonly name: string
  readonly date: string
  readonly machine: Machine
  readonly versions: Versions
  readonly settings: Pick<Settings, 'events' | 'rounds'>
}

export function printHeader({ name, machine, versions, settings }: Header): void {
  console.log(`Benchmark ${name}`)
  console.log(`  machine   ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB`)
  console.log(`  system    ${machine.system}, ${machine.fileSystem}`)
  console.log(
    `  versions  Node.js ${versions.node}, tetralog ${versions.tetralog} (${versions.build})`,
  )
  console.log(`  settings  ${numbers.format(settings.events)} events, ${settings.rounds} rounds`)
  console.log('  The median of the rounds; × raw: compared with a raw pre-allocated file.')
}

export function printResults(results: readonly Result[]): void {
  const [first] = results
  if (first === undefined) return
  console.log(`\n${first.measurement} (${first.size})`)
  for (const { contender, median, unit, rounds, ratioToRaw } of results) {
    const spread = rounds.map((number) => format(number, unit)).join(' ')
    const ratio = ratioToRaw === undefined ? '' : `${ratioToRaw.toFixed(2)} × raw`
    const value = `${format(median, unit).padStart(12)} ${unit.padEnd(11)}`
    console.log(`  ${contender.padEnd(32)} ${value} ${ratio.padEnd(12)} [${spread}]`)
  }
}

export function writeResults(folder: string, header: Header, results: readonly Result[]): void {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${header.name}.json`)
  writeFileSync(path, `${JSON.stringify({ ...header, results }, null, 2)}\n`)
}

function format(number: number, unit: Unit): string {
  return unit === 'ms' ? number.toFixed(2) : numbers.format(Math.round(number))
}
