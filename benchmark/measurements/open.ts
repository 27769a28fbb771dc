// Opening a store that was closed cleanly, with the page cache warm.
import { Store } from 'tetralog'
import { type Measurement, median } from '../measurement.js'

const opensInRound = 5

export function open(path: string, events: number): Measurement {
  return {
    name: 'open, warm',
    unit: 'ms',
    size: `${events} events`,
    contenders: [
      { name: 'Store.open()', round: () => timeToOpen(path, false) },
      { name: 'Store.open(), read-only', round: () => timeToOpen(path, true) },
    ],
  }
}

async function timeToOpen(path: string, readOnly: boolean): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < opensInRound; index += 1) {
    const started = performance.now()
    await using _store = await Store.open(path, { readOnly })
    times.push(performance.now() - started)
  }
  return median(times)
}
