// Brings a store up to date with a repository. Every event has an id made from its commit and its
// path, and a commit (or each part of a very large one) is one append, so whatever is appended a
// second time is recognised, and an import that was interrupted simply goes on.
//
// Parents come before children, so everything before the store's newest event is complete, and so
// are all ancestors of its commit: only that commit itself and what it is not built on are read.
// If that commit is no longer part of the history, everything is read again.
import type { Receipt, Store } from 'tetralog'
import { appendsOf, type FileEvent, shallowTag } from './commit-events.js'
import {
  countCommits,
  isAncestor,
  type Range,
  type Repository,
  readCommits,
  UserError,
} from './git.js'

/** So many appends, at most, wait for the store at a time. */
const appendsInFlight = 512

export interface Progress {
  /** Commits read, of how many. */
  commits: number
  total: number
  /** Events that were appended, and events that the store had already. */
  added: number
  known: number
}

export interface ImportOptions {
  readonly signal: AbortSignal
  readonly onProgress?: (progress: Readonly<Progress>) => void
}

export async function importHistory(
  store: Store,
  repository: Repository,
  options: ImportOptions,
): Promise<Progress> {
  const progress: Progress = { commits: 0, total: 0, added: 0, known: 0 }
  const range = await rangeToRead(store, repository)
  if (range === undefined) return progress
  progress.total = await countCommits(repository, range)
  const appends = new AppendWindow(progress)
  for await (const commit of readCommits(repository, range, options.signal)) {
    if (options.signal.aborted) break
    for (const events of appendsOf(commit, repository.shallowCommits.has(commit.hash))) {
      await appends.add(store.append<FileEvent>(events), events.length)
    }
    progress.commits += 1
    options.onProgress?.(progress)
  }
  await appends.settle()
  return progress
}

async function rangeToRead(store: Store, repository: Repository): Promise<Range | undefined> {
  if (repository.head === undefined) return undefined
  const everything = { head: repository.head, except: [] }
  const newest = await store.all<FileEvent>({ backwards: true, limit: 1 }).first()
  if (newest === undefined) return everything
  await refuseDeepenedClone(store, repository)
  const { commit } = newest.payload
  const canGoOn = await isAncestor(repository, commit)
  return canGoOn ? { head: repository.head, except: [`${commit}^@`] } : everything
}

/** Where a shallow clone begins, all files look added: wrong, once what came before was fetched. */
async function refuseDeepenedClone(store: Store, repository: Repository): Promise<void> {
  for await (const event of store.query<FileEvent>({ tags: { all: [shallowTag] } })) {
    if (repository.shallowCommits.has(event.payload.commit)) continue
    throw new UserError(
      'The store was filled from a shallow clone whose history begins elsewhere now, so its ' +
        'oldest events are not right: remove the store, or name another one with --store.',
    )
  }
}

/** Keeps several appends going at a time and adds up their receipts. */
class AppendWindow {
  readonly #pending: Promise<Receipt | undefined>[] = []
  readonly #progress: Progress

  constructor(progress: Progress) {
    this.#progress = progress
  }

  async add(append: Promise<Receipt>, events: number): Promise<void> {
    append.catch(() => undefined)
    this.#pending.push(this.#count(append, events))
    this.#pending.at(-1)?.catch(() => undefined)
    if (this.#pending.length > appendsInFlight) await this.#pending.shift()
  }

  async settle(): Promise<void> {
    await Promise.all(this.#pending)
  }

  async #count(append: Promise<Receipt>, events: number): Promise<undefined> {
    const isKnown = await append.then(({ duplicate }) => duplicate, isStoredOtherwise)
    if (isKnown) this.#progress.known += events
    else this.#progress.added += events
  }
}

/** Another version of git may have told the same commit in another order, or as other renames. */
function isStoredOtherwise(error: unknown): true {
  if (error instanceof Error && 'code' in error && error.code === 'ERR_ID_CONFLICT') return true
  throw error
}
