// Reads the output of `git log -z --raw --numstat` as it arrives, byte by byte: file names are
// bytes in any encoding, so nothing is decoded before it is known what it is.

/** What `git log` is asked to print for each commit, before its files. */
export const logFormat = 'commit %H%x00%P%x00%ct%x00%an%x00%ae%x00%s'
const headerFields = 6

export interface Change {
  /** git's letter: A, M, D, R, C, T … */
  readonly status: string
  /** The raw path, one character for each byte; of a rename, the new one. */
  readonly path: string
  /** The raw path that it was renamed or copied from. */
  readonly from?: string
  /** Lines; both left out if the file is binary. */
  readonly added?: number
  readonly deleted?: number
}

export interface Commit {
  readonly hash: string
  readonly parents: readonly string[]
  /** Seconds since 1970, as the committer's clock had it. */
  readonly time: number
  readonly author: string
  readonly email: string
  readonly subject: string
  readonly changes: readonly Change[]
}

type LineCounts = Pick<Change, 'added' | 'deleted'>
type Entry = Pick<Change, 'status' | 'path' | 'from'>

const newline = 0x0a
const colon = 0x3a
const letterC = 0x63

export class LogParser {
  #rest: Buffer = Buffer.alloc(0)
  #header: string[] = []
  #entries: Entry[] = []
  #counts = new Map<string, LineCounts>()
  #paths: string[] = []
  #pathsAwaited = 0
  #onPaths: (paths: readonly string[]) => void = () => undefined
  #finished: Commit[] = []

  /** Takes what arrived and gives the commits that are complete with it. */
  push(chunk: Buffer): Commit[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let start = 0
    for (let end = bytes.indexOf(0); end !== -1; end = bytes.indexOf(0, start)) {
      this.#take(bytes.subarray(start, end))
      start = end + 1
    }
    this.#rest = bytes.subarray(start)
    return this.#finished.splice(0)
  }

  /** Gives the last commit, after the end of the output. */
  end(): Commit[] {
    const isCut = this.#rest.length > 0 || this.#pathsAwaited > 0
    if (isCut || this.#header.length % headerFields !== 0) {
      throw new Error('The output of git log ended in the middle of a commit.')
    }
    this.#finishCommit()
    return this.#finished.splice(0)
  }

  #take(token: Buffer): void {
    if (this.#pathsAwaited > 0) this.#takePath(token)
    else if (this.#header.length % headerFields !== 0) this.#header.push(token.toString('utf8'))
    else this.#takeLine(token[0] === newline ? token.subarray(1) : token)
  }

  #takeLine(line: Buffer): void {
    if (line.length === 0) return
    if (line[0] === colon) this.#takeRaw(line.toString('latin1'))
    else if (line[0] === letterC) this.#takeCommit(line.toString('latin1'))
    else this.#takeCounts(line.toString('latin1'))
  }

  #takeCommit(line: string): void {
    this.#finishCommit()
    this.#header = [line.slice('commit '.length)]
  }

  /** `:mode mode hash hash status`; of a merge, a colon, mode, hash and letter for each parent. */
  #takeRaw(line: string): void {
    const letters = line.slice(line.lastIndexOf(' ') + 1)
    const isMerge = line[1] === ':'
    const status = isMerge ? statusOfMerge(letters) : letters.slice(0, 1)
    const hasSource = !isMerge && (status === 'R' || status === 'C')
    this.#await(hasSource ? 2 : 1, ([first = '', second]) => {
      this.#entries.push(
        second === undefined ? { status, path: first } : { status, path: second, from: first },
      )
    })
  }

  /** `added TAB deleted TAB path`; of a rename the path is empty, and both follow on their own. */
  #takeCounts(line: string): void {
    const found = /^(\d+|-)\t(\d+|-)\t/.exec(line)
    if (!found) throw new Error(`The output of git log cannot be understood: ${line}`)
    const [prefix, added, deleted] = found
    const counts = added === '-' ? {} : { added: Number(added), deleted: Number(deleted) }
    const path = line.slice(prefix.length)
    if (path === '') this.#await(2, ([, to = '']) => this.#counts.set(to, counts))
    else this.#counts.set(path, counts)
  }

  #await(count: number, onPaths: (paths: readonly string[]) => void): void {
    this.#paths = []
    this.#pathsAwaited = count
    this.#onPaths = onPaths
  }

  #takePath(token: Buffer): void {
    this.#paths.push(token.toString('latin1'))
    this.#pathsAwaited -= 1
    if (this.#pathsAwaited === 0) this.#onPaths(this.#paths)
  }

  #finishCommit(): void {
    if (this.#header.length === 0) return
    const [hash = '', parents = '', time = '', author = '', email = '', subject = ''] = this.#header
    this.#finished.push({
      ...{ hash, author, email, subject },
      parents: parents === '' ? [] : parents.split(' '),
      time: Number.isFinite(Number(time)) ? Number(time) : 0,
      changes: this.#entries.map((entry) => ({ ...entry, ...this.#counts.get(entry.path) })),
    })
    this.#header = []
    this.#entries = []
    this.#counts = new Map()
  }
}

/** A merge says for each parent what happened; told as one thing if that is the same for all. */
function statusOfMerge(letters: string): string {
  const [first = 'M'] = letters
  return [...letters].every((letter) => letter === first) ? first : 'M'
}
