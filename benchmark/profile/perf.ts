// Linux's profiler, attached to this process.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { Samples } from './samples.js'

const samplesPerSecond = 4999
/** The files through which it takes commands and acknowledges them. */
const [commands, acknowledgements] = [3, 4]

/** Why it cannot be used here; undefined if it can. */
export function whyNoPerf(): string | undefined {
  if (process.platform !== 'linux') return 'perf is for Linux.'
  const trial = ['record', '-e', 'cpu-clock', '-o', '/dev/null', '--', 'true']
  try {
    execFileSync('perf', trial, { stdio: 'ignore' })
    return undefined
  } catch {
    return 'perf is not there (Debian: linux-perf), or may not be used (kernel.perf_event_paranoid).'
  }
}

/** Samples all threads of this process, while it is asked to. */
export class Perf {
  readonly #file: string
  readonly #process: ChildProcess
  readonly #exit: Promise<never>

  private constructor(file: string) {
    this.#file = file
    const args = [
      ...['record', '--quiet', '-e', 'cpu-clock', '-F', `${samplesPerSecond}`],
      ...['-p', `${process.pid}`, '-o', file],
      ...['--delay', '-1', '--control', `fd:${commands},${acknowledgements}`],
    ]
    this.#process = spawn('perf', args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
    this.#exit = once(this.#process, 'exit').then(() => {
      throw new Error('perf ended before its time.')
    })
    this.#exit.catch(() => {})
  }

  /** Threads that are begun before it is attached may be missed. */
  static async attach(file: string): Promise<Perf> {
    const perf = new Perf(file)
    await perf.#tell('disable')
    return perf
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    await this.#tell('enable')
    try {
      return await work()
    } finally {
      await this.#tell('disable')
    }
  }

  /** Ends it; gives what it has seen. */
  async finish(): Promise<Samples> {
    this.#process.kill('SIGINT')
    await this.#exit.catch(() => {})
    const script = spawn('perf', ['script', '-i', this.#file, '-F', 'tid,ip,sym'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const samples = new Samples()
    for await (const line of createInterface(script.stdout)) samples.add(line)
    return samples
  }

  async #tell(command: string): Promise<void> {
    const done = once(this.#process.stdio[acknowledgements] as Duplex, 'data')
    ;(this.#process.stdio[commands] as Duplex).write(`${command}\n`)
    await Promise.race([done, this.#exit])
  }
}
