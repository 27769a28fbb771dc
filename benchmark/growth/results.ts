// What `npm run bench:growth` keeps.
import type { Header } from '../machine.js'
import type { Manner, Second } from '../tasks/flat-out.js'
import type { GrowthPoint } from './sizes.js'

export interface Growth extends Header {
  readonly bareMemoryKiB: number
  readonly deviceReadsPerSecond?: number
  readonly points: readonly GrowthPoint[]
}

export interface OverTime extends Header {
  readonly runs: readonly FlatOutRun[]
}

export interface FlatOutRun {
  readonly manner: Manner
  readonly samples: readonly Second[]
  readonly memory: { readonly peak: number }
}
