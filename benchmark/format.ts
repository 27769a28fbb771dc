// Numbers as people read them.
import type { Unit } from './measurement.js'

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const three = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })

export function formatWhole(number: number): string {
  return whole.format(number)
}

/** With three significant digits, or all that are before the point. */
export function formatShort(number: number): string {
  return Math.abs(number) >= 100 ? whole.format(number) : three.format(number)
}

export function formatValue(number: number, unit: Unit): string {
  return unit === 'ms' ? number.toFixed(2) : whole.format(number)
}

/** 10^5 as 100 k, for labels. */
export function formatCompact(number: number): string {
  if (number >= 1e6) return `${three.format(number / 1e6)} M`
  if (number >= 1e3) return `${three.format(number / 1e3)} k`
  return three.format(number)
}
