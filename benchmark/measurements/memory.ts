// Anonymous memory of a process that has opened a store, compared with bare Node. Linux only.
import type { Contender, Measurement } from '../measurement.js'
import { bareMemory, runTask } from '../tasks/run.js'

export const name = 'anonymous memory after opening'
export const wayBare = 'bare Node'
export const way = 'opened'
export const wayTenfold = 'opened, 10 × the events'

export function memory(path: string, tenfold: string, events: number): Measurement {
  const opened = (contender: string, store: string): Contender => ({
    name: contender,
    kind: 'tetralog',
    round: () => runTask('memoryAfterOpening', { path: store }),
  })
  return {
    name,
    unit: 'KiB',
    size: `${events} events`,
    contenders: [
      { name: wayBare, kind: 'control', round: bareMemory },
      opened(way, path),
      opened(wayTenfold, tenfold),
    ],
  }
}
