// The words of the command line of `npm run bench:growth`.
import { parseArgs } from 'node:util'
import { resultsFolder, storesFolder, wholeNumber } from '../options.js'

export const usage = `Usage: npm run bench:growth [-- options]

  --sizes N,N,…     how many events the stores have (default: 1e5,1e6,1e7,5e7)
  --entities N      how many the store of very many entities has (default: 1e8)
  --minutes N       how long the run over time appends, in each manner (default: 10)
  --most-gib N      it appends no faster than a store of that size allows (default: 40)
  --only PART       only the part "sizes", the part "entities" or the part "time"
  --results FOLDER  where the results are written (default: benchmark/results)
  --folder FOLDER   where the stores are made (default: .tetralog here)
  --keep            leaves the stores of the sizes there; they are deleted otherwise
  --smoke           tiny sizes, only to see that everything runs`

const parts = ['sizes', 'entities', 'time'] as const
export type Part = (typeof parts)[number]

export interface Options {
  readonly sizes: readonly number[]
  readonly entities: number
  readonly secondsFlatOut: number
  readonly mostBytes: number
  readonly deviceBytes: number
  readonly parts: readonly Part[]
  readonly results: string
  readonly folder: string
  readonly keep: boolean
  readonly help: boolean
}

const full = { sizes: '1e5,1e6,1e7,5e7', entities: '1e8', seconds: 600, deviceBytes: 1 << 30 }
const smoke = { sizes: '2000,5000', entities: '20000', seconds: 3, deviceBytes: 16 << 20 }

export function readOptions(words: readonly string[]): Options {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    args: [...words],
    options: {
      ...{
        sizes: text,
        entities: text,
        minutes: text,
        'most-gib': text,
        only: text,
        results: text,
        folder: text,
      },
      ...{ keep: flag, smoke: flag, help: flag },
    },
  })
  const defaults = values.smoke ? smoke : full
  const { minutes } = values
  return {
    sizes: (values.sizes ?? defaults.sizes).split(',').map((size) => wholeNumber('--sizes', size)),
    entities: wholeNumber('--entities', values.entities ?? defaults.entities),
    secondsFlatOut: minutes ? wholeNumber('--minutes', minutes) * 60 : defaults.seconds,
    mostBytes: wholeNumber('--most-gib', values['most-gib'] ?? '40') * 2 ** 30,
    deviceBytes: defaults.deviceBytes,
    parts: partsNamed(values.only),
    results: values.results ?? resultsFolder,
    folder: values.folder ?? storesFolder,
    keep: values.keep,
    help: values.help,
  }
}

function partsNamed(only: string | undefined): readonly Part[] {
  if (only === undefined) return parts
  const part = parts.find((name) => name === only)
  if (part === undefined) throw new Error(`--only is "sizes", "entities" or "time", not ${only}.`)
  return [part]
}
