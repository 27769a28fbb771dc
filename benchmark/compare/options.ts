// The words of the command line of `npm run bench` and `npm run bench:compare`.
import { parseArgs } from 'node:util'
import { resultsFolder, storesFolder, wholeNumber } from '../options.js'

export const usage = `Usage: npm run bench [-- options]          Tetralog beside a raw file
       npm run bench:compare [-- options]  and beside other stores, installed on first use

  --events N        how many events the workload has (default: 500000)
  --entities N      how many the store of many entities has (default: 10000000)
  --rounds N        how often each measurement is taken (default: 3)
  --only TEXT       only measurements whose names contain it
  --name NAME       of the file of results (default: latest; compare beside other stores)
  --results FOLDER  where that file is written (default: benchmark/results)
  --folder FOLDER   where the stores are made (default: .tetralog here)
  --smoke           tiny sizes, one round and no other stores, only to see that everything runs`

export interface Options {
  readonly events: number
  readonly entities: number
  readonly rounds: number
  /** The file that the device's random reads are measured with. */
  readonly deviceBytes: number
  readonly only: string
  readonly name: string
  readonly results: string
  readonly folder: string
  readonly hasPeers: boolean
  readonly help: boolean
}

const sizes = {
  full: { events: '500000', entities: '10000000', rounds: '3', deviceBytes: 1 << 30 },
  smoke: { events: '2000', entities: '20000', rounds: '1', deviceBytes: 16 << 20 },
}

export function readOptions(words: readonly string[]): Options {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    args: [...words],
    options: {
      ...{ events: text, entities: text, rounds: text, only: text, name: text },
      ...{ results: text, folder: text, peers: flag, smoke: flag, help: flag },
    },
  })
  const size = values.smoke ? sizes.smoke : sizes.full
  const hasPeers = values.peers && !values.smoke
  return {
    events: wholeNumber('--events', values.events ?? size.events),
    entities: wholeNumber('--entities', values.entities ?? size.entities),
    rounds: wholeNumber('--rounds', values.rounds ?? size.rounds),
    deviceBytes: size.deviceBytes,
    only: values.only ?? '',
    name: values.name ?? (hasPeers ? 'compare' : 'latest'),
    results: values.results ?? resultsFolder,
    folder: values.folder ?? storesFolder,
    hasPeers,
    help: values.help,
  }
}
