// What is done in a process of its own.
import { readCold } from '../measurements/cold-streams.js'
import { askEntities, fillEntities } from './entities.js'
import { flatOut } from './flat-out.js'
import { longestHoldOf } from './hold.js'
import { pacedSyncs } from './paced-syncs.js'
import { profile } from './profile.js'
import { randomReads } from './random-reads.js'
import {
  fill,
  makeEvents,
  memoryAfterOpening,
  readSome,
  scanAll,
  timeOpenings,
} from './store-tasks.js'

const ofStores = {
  askEntities,
  fill,
  fillEntities,
  longestHoldOf,
  memoryAfterOpening,
  readCold,
  readSome,
  scanAll,
  timeOpenings,
}
export const tasks = { ...ofStores, flatOut, makeEvents, pacedSyncs, profile, randomReads }
export type Tasks = typeof tasks
