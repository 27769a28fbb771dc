// What `npm run bench:growth` keeps.
import type { Header } from '../machine.js'
import type { Manner, Second } from '../tasks/flat-out.js'
import type { SyncTimes } from '../tasks/paced-syncs.js'
import type { Stall } from '../tasks/stalls.js'
import type { ManyEntities } from './entities.js'
import type { GrowthPoint } from './sizes.js'

export interface Growth extends Header {
  readonly bareMemoryKiB: number
  readonly deviceReadsPerSecond?: number
  readonly points: readonly GrowthPoint[]
}

export interface EntitiesResult extends Header, ManyEntities {}

export interface OverTime extends Header {
  readonly runs: readonly FlatOutRun[]
}

export interface FlatOutRun {
  readonly manner: Manner
  /** Events a second: the most that was appended, so that the disk sufficed. */
  readonly pace: number
  readonly samples: readonly Second[]
  /** The longest appends, the longest first. */
  readonly longest: readonly Stall[]
  /** What the device alone did with as many bytes, written and synced as much at a time. */
  readonly device: SyncTimes
  readonly memory: { readonly peak: number }
}
