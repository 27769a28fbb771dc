// One line that is rewritten on a terminal; elsewhere a new one every two seconds.
import { count, counted } from './display.js'
import type { Progress } from './import-history.js'

export class ProgressLine {
  readonly #isTerminal = process.stdout.isTTY === true
  readonly #started = performance.now()
  #printed = performance.now()

  update(progress: Readonly<Progress>): void {
    const now = performance.now()
    if (now - this.#printed < (this.#isTerminal ? 100 : 2000)) return
    this.#printed = now
    const text = this.#text(progress, (now - this.#started) / 1000)
    process.stdout.write(this.#isTerminal ? `\r\x1b[2K${text}` : `${text}\n`)
  }

  /** Clears the line, so that the result can stand there. */
  finish(): void {
    if (this.#isTerminal) process.stdout.write('\r\x1b[2K')
  }

  #text({ commits, total, added, known }: Readonly<Progress>, seconds: number): string {
    const share = total === 0 ? 100 : Math.floor((commits / total) * 100)
    const rate = count(Math.round((added + known) / Math.max(seconds, 0.001)))
    return (
      `  ${String(share).padStart(3)} %  ${count(commits)} of ${counted(total, 'commit')}, ` +
      `${counted(added, 'new event')}, ${rate} events/s`
    )
  }
}
