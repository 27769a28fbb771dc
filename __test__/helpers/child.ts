// Programs that run in a process of their own, against the built package.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program {
  readonly process: ChildProcess
  /** Resolves when the program has printed the text. */
  printed(text: string): Promise<void>
  readonly ended: Promise<Ended>
}

const DEADLINE_MS = 20_000

/** Starts a module whose first line imports from 'tetralog'; killed if it outlives its deadline. */
export function start(
  source: string,
  args: readonly string[] = [],
  flags: readonly string[] = [],
  deadlineMs = DEADLINE_MS,
  env: NodeJS.ProcessEnv = {},
): Program {
  const code = `import { clock, Store, TetralogError } from 'tetralog'\n${source}`
  const child = spawn(
    process.execPath,
    [...flags, '--input-type=module', '--eval', code, '--', ...args],
    { cwd: root, stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  )
  let stdout = ''
  let stderr = ''
  const listeners = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (const listener of listeners) listener()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(deadline)
      resolve({ code, signal, stdout, stderr })
    })
  })
  const printed = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!stdout.includes(text)) return
        listeners.delete(look)
        resolve()
      }
      listeners.add(look)
      look()
      void ended.then(() => reject(new Error(`it ended without printing ${text}: ${stderr}`)))
    })
  return { process: child, printed, ended }
}

export function run(
  source: string,
  args: readonly string[] = [],
  flags: readonly string[] = [],
  deadlineMs = DEADLINE_MS,
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  return start(source, args, flags, deadlineMs, env).ended
}
