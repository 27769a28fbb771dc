// Takes rounds of a measurement while a profiler looks on, and gives what each thread was doing.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, watchRates } from '../measurement.js'
import { Perf } from '../profile/perf.js'
import type { ThreadProfile } from '../profile/samples.js'
import { type ProfileSettings, workloads } from '../profile/workloads.js'
import { threadGroups } from './threads.js'

const mostFunctions = 8
const enoughMs = 3000
const mostRounds = 10

export interface ProfileTask extends ProfileSettings {
  readonly name: string
}

export interface Profile {
  readonly measurement: string
  readonly contender: string
  readonly items: number
  readonly itemsPerSecond: number
  /** Of all threads, for each item, as the system counts it. */
  readonly cpuUs: number
  readonly threads: readonly ThreadProfile[]
}

export async function profile({ name, ...settings }: ProfileTask): Promise<Profile[]> {
  const prepare = workloads[name]
  if (prepare === undefined) throw new Error(`There is no workload "${name}".`)
  const { folder, events } = settings
  const { measurement, filled } = await prepare({ folder, events, rounds: 1 }, settings)
  const profiles: Profile[] = []
  for (const contender of measurement.contenders) {
    if (contender.kind !== 'tetralog') continue
    const seen = await profileRounds(contender, join(folder, 'perf.data'))
    profiles.push({ measurement: name, contender: contender.name, ...seen })
  }
  await filled?.[Symbol.asyncDispose]()
  rmSync(`/tmp/perf-${process.pid}.map`, { force: true }) // the names of JavaScript's functions
  return profiles
}

async function profileRounds({ round }: Contender, file: string) {
  await round()
  const perf = await Perf.attach(file)
  const names = new Map<number, string>()
  let [items, allCpuUs, ms] = [0, 0, 0]
  watchRates((count, timed) =>
    perf.during(async () => {
      const cpu = process.cpuUsage()
      const perSecond = await timed()
      const { user, system } = process.cpuUsage(cpu)
      items += count
      allCpuUs += user + system
      ms += (count / perSecond) * 1000
      for (const [thread, group] of threadGroups()) names.set(thread, group)
      return perSecond
    }),
  )
  for (let rounds = 0; rounds < mostRounds && ms < enoughMs; rounds += 1) await round()
  watchRates((_count, timed) => timed())
  const cpuUs = allCpuUs / items
  const threads = (await perf.finish()).divide(cpuUs, names, mostFunctions)
  return { items, itemsPerSecond: (items / ms) * 1000, cpuUs, threads }
}
