// What is done in a process of its own.
import { readCold } from '../measurements/cold-streams.js'
import { flatOut } from './flat-out.js'
import { longestHoldOf } from './hold.js'
import { randomReads } from './random-reads.js'
import { fill, memoryAfterOpening, readSome, scanAll, timeOpenings } from './store-tasks.js'

const ofStores = {
  fill,
  longestHoldOf,
  memoryAfterOpening,
  readCold,
  readSome,
  scanAll,
  timeOpenings,
}
export const tasks = { ...ofStores, flatOut, randomReads }
export type Tasks = typeof tasks
