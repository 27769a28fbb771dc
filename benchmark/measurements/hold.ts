// How long the JavaScript thread is held at a time by appends, syncs and reads. The control, which
// does nothing, shows what the machine does meanwhile.
import { inFreshFolder } from '../contenders/subjects.js'
import type { Contender, Measurement, Settings, Taken } from '../measurement.js'
import { appending, reading } from '../tasks/hold.js'
import { runTask } from '../tasks/run.js'

export const name = 'longest hold of the event loop'
const control = 'nothing'

export function hold(settings: Settings, filled: string): Measurement {
  const appends = Object.keys(appending).map((work): Contender => {
    const round = () => inFreshFolder(settings, (path) => longestOf(path, work))
    return { name: work, kind: work === control ? 'control' : 'tetralog', round }
  })
  const reads = Object.keys(reading).map((work): Contender => {
    return { name: work, kind: 'tetralog', round: () => longestOf(filled, work) }
  })
  return {
    name,
    unit: 'ms',
    size: `7 MiB of events appended, ${settings.events} events read`,
    contenders: [...appends, ...reads],
  }
}

async function longestOf(path: string, work: string): Promise<Taken> {
  const { held: value, ...parts } = await runTask('longestHoldOf', { path, work })
  return { value, parts }
}
