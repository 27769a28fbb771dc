// A small repository in a temporary folder, for tests.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const environment = {
  PATH: process.env.PATH,
  HOME: tmpdir(),
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ann',
  GIT_AUTHOR_EMAIL: 'ann@example.org',
  GIT_COMMITTER_NAME: 'Ann',
  GIT_COMMITTER_EMAIL: 'ann@example.org',
}

export class TemporaryRepository implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'tetralog-repository-'))
  #time = 1_700_000_000

  constructor() {
    this.git('init', '--quiet', '--initial-branch=main')
  }

  git(...words: string[]): string {
    const date = `@${this.#time} +0000`
    const env = { ...environment, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date }
    const options = { cwd: this.folder, env, encoding: 'utf8', stdio: 'pipe' } as const
    return execFileSync('git', words, options).trimEnd()
  }

  /** Writes a file; its name is one character for each byte. */
  write(name: string, text: string): void {
    const path = Buffer.concat([Buffer.from(`${this.folder}/`), Buffer.from(name, 'latin1')])
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(path, text)
  }

  /** Commits all that is there and gives the commit's hash. */
  commit(subject: string, time = this.#time + 60): string {
    this.#time = time
    this.git('add', '--all')
    this.git('commit', '--quiet', '--allow-empty', '-m', subject)
    return this.git('rev-parse', 'HEAD')
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
