// What the numbers were measured on.
import { readFileSync, realpathSync } from 'node:fs'
import os from 'node:os'
import { buildProfile, version } from '#binding'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly fileSystem: string
}

export interface Versions {
  readonly node: string
  readonly tetralog: string
  readonly build: string
}

/** What every file of results begins with. */
export interface Header {
  readonly date: string
  readonly machine: Machine
  readonly versions: Versions
}

export function describeRun(folder: string): Header {
  const versions = describeVersions()
  return { date: new Date().toISOString(), machine: describeMachine(folder), versions }
}

function describeMachine(folder: string): Machine {
  const cpus = os.cpus()
  return {
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    fileSystem: fileSystemOf(folder),
  }
}

/** Refuses a debug build: it tells nothing about speed. */
function describeVersions(): Versions {
  const build = buildProfile()
  if (build !== 'release') {
    throw new Error('A debug build tells nothing about speed: build with "npm run build" first.')
  }
  return { node: process.version, tetralog: version(), build }
}

/** The type of the mount with the longest path that the folder is below. */
function fileSystemOf(folder: string): string {
  const path = `${realpathSync(folder)}/`
  let found = { at: '', type: 'unknown' }
  for (const line of readMounts()) {
    const [, at = '', type = ''] = line.split(' ')
    const isAbove = path.startsWith(at.endsWith('/') ? at : `${at}/`)
    if (isAbove && at.length >= found.at.length) found = { at, type }
  }
  return found.type
}

function readMounts(): string[] {
  try {
    return readFileSync('/proc/mounts', 'utf8').split('\n')
  } catch {
    return []
  }
}
