// Opening a store that was closed cleanly, with the page cache warm.
import { Store } from 'tetralog'
import { type Contender, type Measurement, median } from '../measurement.js'
import type { Paths } from './filled.js'

export const name = 'open, warm'
export const way = 'Store.open()'
export const wayTenfold = 'Store.open(), 10 × the events'
const opensInRound = 5

/** Beside it a store of Tetralog that has ten times the events. */
export function open(paths: Paths, tenfold: string): Measurement {
  const own = (name: string, path: string, readOnly = false): Contender => ({
    name,
    kind: 'tetralog',
    round: () => timeToOpen(() => Store.open(path, { readOnly })),
  })
  return {
    name,
    unit: 'ms',
    size: `${paths.events} events`,
    contenders: [
      own(way, paths.store),
      own(wayTenfold, tenfold),
      own('Store.open(), read-only', paths.store, true),
      ...paths.peers.map(({ peer, path }): Contender => {
        const round = () => timeToOpen(() => peer.open(path, { isDurable: true }))
        return { name: peer.name, kind: 'peer', round }
      }),
    ],
  }
}

interface Closable {
  close(): Promise<void> | void
}

/** The median of some openings, in ms. What was opened is closed again, which is not timed. */
export async function timeToOpen(
  opening: () => Promise<Closable> | Closable,
  opens = opensInRound,
): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < opens; index += 1) {
    const started = performance.now()
    const opened = await opening()
    times.push(performance.now() - started)
    await opened.close()
  }
  return median(times)
}
