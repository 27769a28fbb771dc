// A drill: a program with the addon whose disk fails on request. It appends until something fails, and looks at
// what a store that has failed still does, and at what the next one finds.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { StoreOptions } from '../../index.js'
import { run } from './child.js'
import { temporaryFolder } from './stores.js'

/** Numbers of the system's errors; 0 is a panic. */
export const PANIC = 0
export const EIO = 5
export const ENOSPC = 28
export const EDQUOT = 122

/** `operation` is a method of the engine's Fs or File; `path` a part of the file's; `skip` of them work first. */
export interface Fault {
  readonly operation: string
  readonly path: string
  readonly errno: number
  readonly skip?: number
  readonly times?: number
}

export interface Found {
  /** How many appends were rejected, and what with. */
  readonly rejected: number
  readonly reasons: readonly string[]
  /** What append() and appendSync() say then. */
  readonly later: readonly string[]
  /** Failures that were asked for and never met. */
  readonly unmet: number
  /** Whether what was acknowledged can be read after the failure, and nothing that was not. */
  readonly readable: boolean
  readonly closed: string
  /** What opening says while the disk still fails, and once it works. */
  readonly reopened: readonly string[]
  /** Acknowledged events that the next opener misses, and appends of which it finds a part. */
  readonly missing: number
  readonly halves: number
  /** Events, when what was rejected has been appended again with the same ids; and how many there have to be. */
  readonly events: number
  readonly appended: number
  readonly verified: boolean
}

const PROGRAM = `
import { createRequire } from 'node:module'
const faults = createRequire(import.meta.url)(process.env.NAPI_RS_NATIVE_LIBRARY_PATH)
const [, folder, given] = process.argv
const { options, fault, waves } = JSON.parse(given)
const inject = () =>
  faults.injectFault(fault.operation, fault.path, fault.errno, fault.skip ?? 0, fault.times ?? 1)
const said = (error) => error === undefined ? 'nothing' : error.code + ' ' + error.written
const outcome = (promise) => promise.then(() => 'nothing', said)

let store = await Store.open(folder, options)
const appends = []
const payload = 'x'.repeat(5000)
function appendOne() {
  const nth = appends.length
  const id = (k) => '00000000-0000-4000-8000-' + String(nth * 2 + k).padStart(12, '0')
  const events = [0, 1].map((k) => ({ entity: 'e' + (nth + k) % 7, fact: 'f', id: id(k), payload }))
  const one = { events, receipt: undefined, error: undefined }
  appends.push(one)
  return store.append(events).then((receipt) => { one.receipt = receipt }, (error) => { one.error = error })
}
async function has({ events, receipt }) {
  const [first, last] = await Promise.all([store.event(receipt.position), store.event(receipt.lastPosition)])
  return first?.id === events[0].id && last?.id === events[1].id && last.text() === payload
}
const acknowledged = () => appends.filter(({ receipt }) => receipt !== undefined)
const rejected = () => appends.filter(({ error }) => error !== undefined)
async function misses() {
  const found = await Promise.all(acknowledged().map(has))
  return found.filter((is) => !is).length
}

for (let i = 0; i < 20; i++) await appendOne()
inject()
for (let wave = 0; wave < waves && rejected().length === 0; wave++) {
  await Promise.all(Array.from({ length: 20 }, appendOne))
  // Also what nobody waits for has time to fail.
  await new Promise((resolve) => setTimeout(resolve, 10))
}
await appendOne()
const later = [said(appends.at(-1).error)]
try {
  store.appendSync({ entity: 'sync', fact: 'f' })
  later.push('nothing')
} catch (error) { later.push(said(error)) }
const visible = await store.all().count() - (later[1] === 'nothing' ? 1 : 0)
const readable = await misses() === 0 && visible === 2 * acknowledged().length
const count = rejected().length
const reasons = [...new Set(rejected().map(({ error }) => said(error)))]
const closed = await outcome(store.close())

const reopened = []
for (let i = 0; i < 2; i++) {
  if (i > 0) faults.clearFaults()
  const opening = Store.open(folder, options)
  reopened.push(await outcome(opening))
  if (reopened.at(-1) === 'nothing') { store = await opening; break }
}
const unmet = faults.clearFaults()
const missing = await misses()
const stored = new Set((await store.all().toArray()).map(({ id }) => id))
const halves = appends.filter(({ events }) => stored.has(events[0].id) !== stored.has(events[1].id)).length
for (const { events } of rejected()) await store.append(events)
const events = await store.query({ entity: 'e*' }).count()
const verified = (await store.verify()).ok
await store.close()
console.log(JSON.stringify({
  rejected: count, reasons, later, unmet, readable, closed, reopened, missing, halves,
  events, appended: 2 * appends.length, verified,
}))
`

let addon: Promise<string> | undefined

/** Where the addon with faults is, up to date. */
export function addonWithFaults(): Promise<string> {
  const script = fileURLToPath(new URL('../../scripts/build-faults.mjs', import.meta.url))
  addon ??= promisify(execFile)(process.execPath, [script]).then(({ stdout }) => stdout.trim())
  return addon
}

/** Fails unless the process comes to its own end. */
export async function drill(fault: Fault, options: StoreOptions = {}): Promise<Found> {
  const given = JSON.stringify({
    options: { segmentMaxBytes: 1 << 20, ...options },
    fault,
    waves: 15,
  })
  const env = { NAPI_RS_NATIVE_LIBRARY_PATH: await addonWithFaults() }
  const ended = await run(PROGRAM, [temporaryFolder(), given], [], 60_000, env)
  if (ended.code !== 0)
    throw new Error(`It ended with ${ended.code ?? ended.signal}: ${ended.stderr}`)
  return JSON.parse(ended.stdout) as Found
}
