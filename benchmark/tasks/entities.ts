// A store of very many entities, each with one small event, and what it answers about them. The payload
// and the place of each follow from the entity's number, so that every answer can be checked.
import { type NewEvent, Store } from 'tetralog'
import { appendAhead } from '../contenders/subjects.js'
import { milliseconds, rate } from '../measurement.js'
import { entityName, randomNumbers, type WorkloadEvent } from '../workload.js'
import { anonymousMemory, collectedMemory, MemoryPeak } from './anonymous-memory.js'

const batchSize = 5000
const payloadBytes = 16
const lookups = 50_000
const warmUps = 1000
const stretches = 20
const fact = 'created'

export interface Entities {
  readonly path: string
  readonly entities: number
}

/** A twentieth of a run. */
export interface Stretch {
  readonly appendedPerSecond: number
  /** What all threads of the process spent on an event. */
  readonly cpuUs: number
  /** Of the process, at the end of it, when garbage is collected. */
  readonly anonymousKiB: number
}

/** Appends one event of each entity. Memory is in KiB. */
export async function fillEntities({ path, entities }: Entities) {
  const peak = new MemoryPeak()
  const before = anonymousMemory()
  const run: Stretch[] = []
  const store = await Store.open(path, { durability: 'interval' })
  let appendMs = 0
  for (let stretch = 0; stretch < stretches; stretch += 1) {
    const first = Math.floor((entities * stretch) / stretches)
    const end = Math.floor((entities * (stretch + 1)) / stretches)
    const cpu = process.cpuUsage()
    const ms = await milliseconds(() => appendAhead(store, batches(first, end, peak)))
    const { user, system } = process.cpuUsage(cpu)
    appendMs += ms
    run.push({
      appendedPerSecond: ((end - first) / ms) * 1000,
      cpuUs: (user + system) / (end - first),
      anonymousKiB: await collectedMemory(),
    })
  }
  appendMs += await milliseconds(() => store.sync())
  const memory = { before, peak: peak.highest }
  const closeMs = await milliseconds(() => store.close())
  return { appendedPerSecond: (entities / appendMs) * 1000, run, closeMs, memory }
}

/** Opens the store, and asks for random entities that it has and that it does not have. Throws if an
 *  answer is wrong. Memory is in KiB. */
export async function askEntities({ path, entities }: Entities) {
  const random = randomNumbers(13)
  const present = Array.from({ length: lookups }, () => random(entities))
  const before = anonymousMemory()
  const started = performance.now()
  await using store = await Store.open(path)
  const openMs = performance.now() - started
  const opened = anonymousMemory()
  const firstLatestPerSecond = await rate(warmUps, () =>
    checkLatest(store, present.slice(0, warmUps)),
  )
  const reads = {
    latest: () => checkLatest(store, present),
    version: () => checkVersions(store, present),
    absent: () => checkAbsent(store, entities),
  }
  for (const read of Object.values(reads)) await read()
  return {
    openMs,
    firstLatestPerSecond,
    latestPerSecond: await rate(lookups, reads.latest),
    versionsPerSecond: await rate(lookups, reads.version),
    absentPerSecond: await rate(lookups, reads.absent),
    memory: { before, opened, afterLookups: anonymousMemory() },
  }
}

function* batches(first: number, end: number, peak: MemoryPeak) {
  for (let start = first; start < end; start += batchSize) {
    peak.sample()
    const size = Math.min(batchSize, end - start)
    const payloads = Buffer.alloc(size * payloadBytes)
    yield Array.from({ length: size }, (_, index): NewEvent<WorkloadEvent> => {
      const entity = start + index
      const payload = payloads.subarray(index * payloadBytes, (index + 1) * payloadBytes)
      writePayload(payload, entity)
      return { entity: entityName(entity), fact, payload, expect: 'none' }
    })
  }
}

function writePayload(payload: Buffer, entity: number): void {
  payload.writeDoubleLE(entity, 0)
  payload.writeDoubleLE(-entity, 8)
}

async function checkLatest(store: Store, numbers: readonly number[]): Promise<void> {
  const payload = Buffer.alloc(payloadBytes)
  for (const number of numbers) {
    const event = await store.latest<WorkloadEvent>(entityName(number))
    writePayload(payload, number)
    const isRight =
      event?.position === number && event.version === 0 && payload.equals(event.payload)
    if (!isRight) throw new Error(`The latest event of ${entityName(number)} is wrong.`)
  }
}

async function checkVersions(store: Store, numbers: readonly number[]): Promise<void> {
  for (const number of numbers) {
    if ((await store.version(entityName(number))) === 0) continue
    throw new Error(`The version of ${entityName(number)} is wrong.`)
  }
}

async function checkAbsent(store: Store, entities: number): Promise<void> {
  for (let number = entities; number < entities + lookups; number += 1) {
    if ((await store.version(entityName(number))) === -1) continue
    throw new Error(`${entityName(number)} is not in the store, but has a version.`)
  }
}
