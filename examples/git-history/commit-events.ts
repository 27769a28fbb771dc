// Turns a commit into events: one for each file that it touched.
import { createHash } from 'node:crypto'
import type { NewEvent } from 'tetralog'
import type { Change, Commit } from './log-parser.js'
import { entityOf, escapePath, scopeOf } from './path-names.js'

export type FileFact =
  | 'added'
  | 'modified'
  | 'deleted'
  | 'renamed'
  | 'copied'
  | 'type-changed'
  | 'changed'

export type FilePayload = {
  readonly commit: string
  readonly author: string
  readonly email: string
  readonly subject: string
  /** Lines; null if the file is binary. */
  readonly added: number | null
  readonly deleted: number | null
  /** Where it was renamed or copied from. */
  readonly from?: string
  /** The whole path, if it is too long to be the name of an entity. */
  readonly path?: string
  /** The commit's time in seconds since 1970, if no clock can say it. */
  readonly time?: number
}

export type FileEvent = { readonly fact: FileFact; readonly payload: FilePayload }

/** Marks the events of a commit whose parents a shallow clone does not have. */
export const shallowTag = 'shallow'

const facts: Readonly<Record<string, FileFact>> = {
  A: 'added',
  M: 'modified',
  D: 'deleted',
  R: 'renamed',
  C: 'copied',
  T: 'type-changed',
}

/** So many events go into one append; the rest of a larger commit into further ones. */
const eventsInAppend = 1000
const longestText = 1000
const latestClockMs = 18_446_744_073_709

/** The appends that store a commit. The same commit is always divided in the same way. */
export function appendsOf(commit: Commit, isShallow: boolean): NewEvent<FileEvent>[][] {
  const appends: NewEvent<FileEvent>[][] = []
  for (let start = 0; start < commit.changes.length; start += eventsInAppend) {
    const changes = commit.changes.slice(start, start + eventsInAppend)
    appends.push(changes.map((change) => eventOf(commit, change, isShallow)))
  }
  return appends
}

function eventOf(commit: Commit, change: Change, isShallow: boolean): NewEvent<FileEvent> {
  return {
    entity: entityOf(change.path),
    fact: facts[change.status] ?? 'changed',
    scope: scopeOf(change.path),
    clock: clockOf(commit.time),
    id: idOf(commit.hash, change.path),
    payload: payloadOf(commit, change),
    ...(isShallow && { tags: [shallowTag] }),
  }
}

function payloadOf(commit: Commit, change: Change): FilePayload {
  const path = escapePath(change.path)
  return {
    commit: commit.hash,
    author: commit.author.slice(0, longestText).toWellFormed(),
    email: commit.email.slice(0, longestText).toWellFormed(),
    subject: commit.subject.slice(0, longestText).toWellFormed(),
    added: change.added ?? null,
    deleted: change.deleted ?? null,
    ...(change.from !== undefined && { from: escapePath(change.from) }),
    ...(path !== entityOf(change.path) && { path }),
    ...(clockOf(commit.time).getTime() !== commit.time * 1000 && { time: commit.time }),
  }
}

/** The commit's time; times that no clock can say become the nearest that it can. */
function clockOf(seconds: number): Date {
  return new Date(Math.min(Math.max(seconds * 1000, 0), latestClockMs))
}

/** A UUID of version 8 (made from a hash): the same commit and path always give the same one. */
function idOf(commit: string, rawPath: string): string {
  const hash = createHash('sha256').update(`${commit}\0`).update(rawPath, 'latin1').digest()
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6)
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = hash.toString('hex', 0, 16)
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)]
  return `${parts.join('-')}-${hex.slice(20)}`
}
