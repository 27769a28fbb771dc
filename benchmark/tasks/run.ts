// Runs tasks in processes of their own, so that what is measured of the process is the task's alone.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseAnonymousMemory } from './anonymous-memory.js'
import type { Tasks } from './tasks.js'

const child = fileURLToPath(new URL('child.js', import.meta.url))
const printStatus = "process.stdout.write(require('node:fs').readFileSync('/proc/self/status'))"
const mostOutputBytes = 1 << 26

/** Resolves with what the task gives, which is handed over as JSON. */
export async function runTask<Name extends keyof Tasks>(
  name: Name,
  input: Parameters<Tasks[Name]>[0],
  env: Readonly<Record<string, string>> = {},
): Promise<Awaited<ReturnType<Tasks[Name]>>> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', child, name, JSON.stringify(input)],
    { env: { ...process.env, ...env }, maxBuffer: mostOutputBytes },
  )
  return JSON.parse(stdout)
}

/** Of a process that has loaded nothing, in KiB. */
export async function bareMemory(): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', printStatus])
  return parseAnonymousMemory(stdout)
}
