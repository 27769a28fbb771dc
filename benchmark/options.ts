// The words of the command line.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export const usage = `Usage: npm run bench [-- options]

  --events N        how many events the workload has (default: 500000)
  --rounds N        how often each measurement is taken (default: 3)
  --only TEXT       only measurements whose names contain it
  --name NAME       of the file of results (default: latest)
  --results FOLDER  where that file is written (default: benchmark/results)
  --folder FOLDER   where the stores are made (default: .tetralog here)
  --smoke           tiny sizes and one round, only to see that everything runs`

export interface Options {
  readonly events: number
  readonly rounds: number
  readonly only: string
  readonly name: string
  readonly results: string
  readonly folder: string
  readonly help: boolean
}

function inProject(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url))
}

export function readOptions(words: readonly string[]): Options {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({
    args: [...words],
    options: {
      ...{ events: text, rounds: text, only: text, name: text, results: text, folder: text },
      ...{ smoke: flag, help: flag },
    },
  })
  const isSmoke = values.smoke ?? false
  return {
    events: wholeNumber('--events', values.events ?? (isSmoke ? '2000' : '500000')),
    rounds: wholeNumber('--rounds', values.rounds ?? (isSmoke ? '1' : '3')),
    only: values.only ?? '',
    name: values.name ?? 'latest',
    results: values.results ?? inProject('benchmark/results'),
    folder: values.folder ?? inProject('.tetralog'),
    help: values.help ?? false,
  }
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new Error(`${name} is a whole number above 0, not ${text}.`)
}
