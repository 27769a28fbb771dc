// Installs the peers on first use, into a folder of their own with a lockfile of its own, so that they
// are no dependencies of the product. A peer that cannot be loaded is left out, and is named.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lmdbPeer, type OpenDatabase } from './lmdb.js'
import type { Peer } from './peer.js'
import { type DatabaseClass, sqlitePeers } from './sqlite.js'

const folder = fileURLToPath(new URL('../../../benchmark/peers/', import.meta.url))
const lockfile = join(folder, 'package-lock.json')
const require = createRequire(join(folder, 'package.json'))

export interface Peers {
  readonly peers: readonly Peer[]
  /** Why peers are missing, a sentence for each. */
  readonly missing: readonly string[]
}

export function installedPeers(): Peers {
  if (!isInstalled()) install()
  const peers: Peer[] = []
  const missing: string[] = []
  for (const [name, load] of Object.entries(loaders)) {
    try {
      peers.push(...load(versionOf(name)))
    } catch (error) {
      const isThere = existsSync(join(folder, 'node_modules', name))
      missing.push(`${name}: ${isThere ? firstLine(error) : 'It could not be installed.'}`)
    }
  }
  if (missing.length > 0) console.error(advice)
  return { peers, missing }
}

const loaders: Readonly<Record<string, (version: string) => readonly Peer[]>> = {
  'better-sqlite3': (version) => {
    const database = require('better-sqlite3') as DatabaseClass
    new database(':memory:').close() // the addon is loaded by the first database
    return sqlitePeers(database, version)
  },
  lmdb: (version) => {
    const { open } = require('lmdb') as { readonly open: OpenDatabase }
    return [lmdbPeer(open, version)]
  },
}

const advice =
  'If there is no binary for this platform, npm compiles one: that needs a C++ compiler, make, ' +
  'Python 3 and the headers of this Node.js. Set npm_config_nodedir to the folder whose ' +
  '"include/node" has them, delete benchmark/peers/node_modules and run this again.'

/** A copy of the lockfile that the peers were installed from. Peers that could not be installed are
 *  not tried again. */
const installedFrom = join(folder, 'node_modules/.installed-from.json')

function isInstalled(): boolean {
  return existsSync(installedFrom) && readFileSync(installedFrom).equals(readFileSync(lockfile))
}

/** Where the headers of this Node.js are beside it, compiling against them needs no download. */
function install(): void {
  console.log('The peers are installed into benchmark/peers (this happens once).')
  const prefix = dirname(dirname(process.execPath))
  const hasHeaders = existsSync(join(prefix, 'include/node/node.h'))
  const nodedir = process.env.npm_config_nodedir ?? (hasHeaders ? prefix : undefined)
  const { status, error } = spawnSync('npm', ['ci', '--no-fund', '--no-audit'], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...(nodedir && { npm_config_nodedir: nodedir }) },
    shell: process.platform === 'win32',
  })
  if (error || status !== 0) console.error(error?.message ?? `npm ci ended with ${status}.`)
  else copyFileSync(lockfile, installedFrom)
}

function versionOf(name: string): string {
  const path = join(folder, 'node_modules', name, 'package.json')
  const { version }: { version: string } = JSON.parse(readFileSync(path, 'utf8'))
  return version
}

function firstLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
  return line.endsWith('.') ? line : `${line}.`
}
