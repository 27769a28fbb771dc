// The results of a comparison, as they are printed and kept.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Peers } from '../contenders/install.js'
import { formatValue, formatWhole } from '../format.js'
import type { Header } from '../machine.js'
import type { Parts, Result, Unit } from '../measurement.js'
import type { Options } from './options.js'
import type { Verdict } from './targets.js'

export interface Comparison extends Header {
  readonly settings: Pick<Options, 'events' | 'entities' | 'rounds'>
  readonly peers: readonly {
    readonly name: string
    readonly version: string
    readonly setup: string
  }[]
  /** Why some peers are missing. */
  readonly missing: readonly string[]
  readonly results: readonly Result[]
  readonly verdicts: readonly Verdict[]
}

export function describePeers({ peers, missing }: Peers): Pick<Comparison, 'peers' | 'missing'> {
  return { peers: peers.map(({ name, version, setup }) => ({ name, version, setup })), missing }
}

export function printHeader({ machine, versions, settings, peers, missing }: Comparison): void {
  const { events, entities, rounds } = settings
  const node = `Node.js ${versions.node}, tetralog ${versions.tetralog} (${versions.build})`
  console.log(`  machine   ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB`)
  console.log(`  system    ${machine.system}, ${machine.fileSystem}`)
  console.log(`  versions  ${node}`)
  for (const { name, version, setup } of peers)
    console.log(`  beside    ${name} ${version}: ${setup}`)
  for (const sentence of missing) console.log(`  missing   ${sentence}`)
  console.log(
    `  settings  ${formatWhole(events)} events, ${rounds} rounds, up to ${formatWhole(entities)} entities`,
  )
  console.log('  Medians of the rounds; × raw: compared with the raw pre-allocated file;')
  console.log('  × best: with the best of the other stores.')
}

export function printResults(results: readonly Result[]): void {
  const [first] = results
  if (first === undefined) return
  console.log(`\n${first.measurement} (${first.size})`)
  for (const { contender, median, unit, rounds, parts, ratioToRaw, ratioToBestPeer } of results) {
    const spread = rounds.map((number) => formatValue(number, unit)).join(' ')
    const value = `${formatValue(median, unit).padStart(12)} ${unit.padEnd(11)}`
    const ratios = [ratio(ratioToRaw, 'raw'), ratio(ratioToBestPeer, 'best')].join('')
    console.log(`  ${contender.padEnd(32)} ${value} ${ratios} [${spread}] ${written(parts, unit)}`)
  }
}

export function printVerdicts(verdicts: readonly Verdict[]): void {
  console.log('\nTargets')
  for (const { target, asked, measured, met } of verdicts) {
    console.log(`  ${met.padEnd(12)} ${target.padEnd(40)} ${measured.padEnd(36)} asked: ${asked}`)
  }
}

export function writeComparison(folder: string, name: string, comparison: Comparison): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(comparison, null, 2)}\n`)
}

function written(parts: Parts | undefined, unit: Unit): string {
  const each = Object.entries(parts ?? {})
  return each.map(([name, number]) => `${name} ${formatValue(number, unit)}`).join(', ')
}

function ratio(value: number | undefined, of: string): string {
  return (value === undefined ? '' : `${value.toFixed(2)} × ${of}`).padEnd(14)
}
