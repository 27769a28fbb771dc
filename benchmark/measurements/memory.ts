// Anonymous memory of a process that has opened a store, compared with one that has not. Linux only.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Contender, Measurement } from '../measurement.js'

const child = fileURLToPath(new URL('../memory-child.js', import.meta.url))

export function memory(path: string, events: number): Measurement {
  return {
    name: 'anonymous memory after opening',
    unit: 'KiB',
    size: `${events} events`,
    contenders: [anonymousMemory('not opened'), anonymousMemory('opened', path)],
  }
}

function anonymousMemory(name: string, ...words: string[]): Contender {
  return {
    name,
    round: async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [child, ...words])
      return Number(stdout)
    },
  }
}
