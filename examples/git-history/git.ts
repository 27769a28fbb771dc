// What this program asks git. Nothing in the user's settings may change the answers.
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import { type Commit, LogParser, logFormat } from './log-parser.js'

/** Something that the user has to know and can mend; its message is all there is to say. */
export class UserError extends Error {}

export interface Repository {
  readonly path: string
  /** For the name of the store: short, and different for every repository. */
  readonly key: string
  /** The newest commit; undefined in a repository without commits. */
  readonly head: string | undefined
  /** In a shallow clone, the commits whose parents are missing. */
  readonly shallowCommits: ReadonlySet<string>
}

/** Whatever is reachable from a commit, without what is reachable from others. */
export interface Range {
  readonly head: string
  readonly except: readonly string[]
}

const environment = { ...process.env, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0' }
for (const name of ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_EXTERNAL_DIFF']) {
  delete environment[name as keyof typeof environment]
}

const settings = ['-c', 'log.showRoot=true']

/**
 * Every commit once, parents before children. A merge tells only of files that differ from all of
 * its parents (-c): what it merely brings together was told by the commits of the branches.
 */
const logOptions = [
  ...['--reverse', '--date-order', '-z', '--raw', '--numstat', '-c', '--no-abbrev'],
  ...['-O/dev/null', '-M50%', '-l1000', '--diff-algorithm=myers', '--ignore-submodules=none'],
  ...['--no-color', '--no-ext-diff', '--no-textconv', '--no-relative', '--no-mailmap'],
  ...['--no-show-signature', '--encoding=UTF-8', `--format=${logFormat}`],
]

export async function openRepository(path: string): Promise<Repository> {
  if (!existsSync(path)) throw new UserError(`There is no folder ${path}.`)
  const gitDirectory = await ask(path, ['rev-parse', '--absolute-git-dir'])
  const name = basename(gitDirectory) === '.git' ? dirname(gitDirectory) : gitDirectory
  const hash = createHash('sha256').update(gitDirectory).digest('hex').slice(0, 8)
  return {
    path,
    key: `${basename(name).replace(/\.git$/, '')}-${hash}`,
    head: await askOr(undefined, path, ['rev-parse', '--verify', '--quiet', 'HEAD^{commit}']),
    shallowCommits: await readShallowCommits(path),
  }
}

export async function isAncestor(repository: Repository, commit: string): Promise<boolean> {
  const question = ['merge-base', '--is-ancestor', commit, repository.head ?? 'HEAD']
  return (await askOr(undefined, repository.path, question)) !== undefined
}

export async function countCommits(repository: Repository, range: Range): Promise<number> {
  return Number(await ask(repository.path, ['rev-list', '--count', ...revisions(range)]))
}

/** The commits of a range, as one git process prints them. Leaving the loop stops git. */
export async function* readCommits(
  repository: Repository,
  range: Range,
  signal: AbortSignal,
): AsyncGenerator<Commit> {
  const words = [...settings, '-C', repository.path, 'log', ...logOptions, ...revisions(range)]
  const git = spawn('git', [...words, '--'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    git.on('error', (error) => reject(explain(error, '', repository.path)))
    git.on('close', resolve)
  })
  ended.catch(() => undefined)
  signal.addEventListener('abort', () => git.kill(), { once: true })
  let complaint = ''
  git.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000)
  })
  try {
    const parser = new LogParser()
    for await (const chunk of git.stdout) yield* parser.push(chunk as Buffer)
    const code = await ended
    if (signal.aborted) return
    if (code !== 0) throw new UserError(`git log failed: ${complaint.trim() || `code ${code}`}`)
    yield* parser.end()
  } finally {
    git.kill()
  }
}

function revisions(range: Range): string[] {
  return range.except.length === 0 ? [range.head] : [range.head, '--not', ...range.except]
}

async function readShallowCommits(path: string): Promise<ReadonlySet<string>> {
  const file = await ask(path, ['rev-parse', '--path-format=absolute', '--git-path', 'shallow'])
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  return new Set(text.split('\n').filter((line) => line !== ''))
}

async function ask(path: string, words: readonly string[]): Promise<string> {
  try {
    const options = { env: environment, encoding: 'utf8' } as const
    const { stdout } = await promisify(execFile)('git', ['-C', path, ...words], options)
    return stdout.replace(/\n$/, '')
  } catch (error) {
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : ''
    throw explain(error, stderr, path)
  }
}

async function askOr<T>(otherwise: T, path: string, words: readonly string[]): Promise<string | T> {
  try {
    return await ask(path, words)
  } catch {
    return otherwise
  }
}

function explain(error: unknown, stderr: string, path: string): UserError {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
    return new UserError('git was not found: install it and try again.')
  }
  if (stderr.includes('not a git repository')) {
    const example = 'npm start -- path/to/a/repository'
    return new UserError(`${path} is not a git repository. Name one, for example: ${example}`)
  }
  return new UserError(`git does not read ${path}: ${stderr.trim() || String(error)}`)
}
