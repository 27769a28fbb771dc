// Repairing a store that nobody has open.
import { repair as nativeRepair } from './binding.js'
import { toDamage } from './errors.js'
import { watched } from './opening.js'
import { abortSignal, boolean, progressListener, readFields } from './options.js'
import type { OpenProgress, RepairOptions, RepairReport } from './types.js'

type Raw = Omit<RepairReport, 'kept' | 'lost'> & {
  kept: string | null
  lost: { events: number; whole: number; positions: { from: number; to: number } | null }
}

export async function repair(
  directory: string,
  options: RepairOptions | undefined,
): Promise<RepairReport> {
  const given = readFields(options ?? {}, 'options', ['dryRun', 'signal', 'onProgress'])
  const dryRun = given.dryRun === undefined ? false : boolean(given.dryRun, 'options.dryRun')
  const signal =
    given.signal === undefined ? undefined : abortSignal(given.signal, 'options.signal')
  const watching = { signal, onProgress: progressListener<OpenProgress>(given.onProgress) }
  // What was repaired before the abort came stays so: it loses nothing more than the plan said.
  const text = await watched(
    watching,
    (opening) => nativeRepair(directory, dryRun, opening),
    async () => {},
  )
  const { damage, steps, events, lost, kept } = JSON.parse(text) as Raw
  const { positions, ...counts } = lost
  return {
    dryRun,
    damage: Object.freeze(damage.map(toDamage)),
    steps: Object.freeze(steps.map((step) => Object.freeze(step))),
    events,
    lost: Object.freeze(positions === null ? counts : { ...counts, positions }),
    kept: kept ?? undefined,
  }
}
