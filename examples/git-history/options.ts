// The words of the command line.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Durability } from 'tetralog'
import { UserError } from './git.js'

export const usage = `Usage: npm start [-- [repository] [options]]

Reads the history of a git repository into a store, or what is new of it, and asks the store
a few questions. The repository is this one if none is named.

  --store FOLDER       where the store is (default: .tetralog/ here, a folder for each repository)
  --durability LEVEL   sync (default), interval or none: what an acknowledged event has survived
  --help               this text`

const durabilities: readonly string[] = ['sync', 'interval', 'none'] satisfies Durability[]

export interface Options {
  readonly repository: string
  readonly store: string | undefined
  readonly durability: Durability
  readonly help: boolean
}

/** npm runs scripts in the project's folder; what the user names is meant from where they are. */
function fromWhereTheUserIs(path: string): string {
  const isNpmScript = process.env.npm_lifecycle_event === 'start'
  return resolve((isNpmScript && process.env.INIT_CWD) || process.cwd(), path)
}

export function readOptions(words: readonly string[]): Options {
  const { values, positionals } = parse(words)
  if (positionals.length > 1) throw new UserError(`Name one repository only.\n\n${usage}`)
  const durability = values.durability ?? 'sync'
  if (!isDurability(durability)) {
    throw new UserError(`--durability is sync, interval or none, not ${durability}.`)
  }
  const [repository] = positionals
  return {
    repository: repository === undefined ? process.cwd() : fromWhereTheUserIs(repository),
    store: values.store === undefined ? undefined : fromWhereTheUserIs(values.store),
    durability,
    help: values.help ?? false,
  }
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        store: { type: 'string' },
        durability: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : error}\n\n${usage}`)
  }
}

function isDurability(text: string): text is Durability {
  return durabilities.includes(text)
}
