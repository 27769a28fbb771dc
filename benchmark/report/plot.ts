// Line plots as SVG, readable on light and on dark paper.

export interface Series {
  readonly name: string
  readonly points: readonly Point[]
  /** Which colour of the palette; counted from 0. */
  readonly colour: number
  readonly isDashed: boolean
}
export type Point = readonly [x: number, y: number]

export interface Axis {
  readonly label: string
  readonly scale: 'linear' | 'log'
  write(value: number): string
}

export interface Plot {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  /** Marks the points, for series of few. */
  readonly hasMarks: boolean
}

const width = 760
const plotHeight = 280
const frame = { left: 84, right: 24, bottom: 52 }
const legendTop = 44
const legendLine = 18
const legendColumns = 2
const ink = '#7d8590'
const gridOpacity = 0.25
const colours = ['#2f81f7', '#d29922', '#3fb950', '#db61a2', '#a371f7', '#f0883e']
const linearTicks = 5

export function drawPlot(plot: Plot): string {
  const points = plot.series.flatMap((series) => series.points)
  const top = legendTop + Math.ceil(plot.series.length / legendColumns) * legendLine
  const bottom = top + plotHeight
  const height = bottom + frame.bottom
  const xs = points.map(([value]) => value)
  const ys = points.map(([, value]) => value)
  const x = new Scale(plot.x, xs, frame.left, width - frame.right)
  const y = new Scale(plot.y, ys, bottom, top)
  const parts = [
    text(frame.left, 22, plot.title, 'font-size="15" font-weight="600"'),
    ...legend(plot.series),
    ...xAxis(plot.x, x, y),
    ...yAxis(plot.y, y, (top + bottom) / 2),
    ...plot.series.flatMap((series) => curve(plot, series, x, y)),
  ]
  const box = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`
  const font = `font-family="system-ui, sans-serif" font-size="12" fill="${ink}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box} ${font}>\n${parts.join('\n')}\n</svg>\n`
}

/** From values to places on the paper. */
class Scale {
  readonly ticks: readonly number[]
  readonly #isLog: boolean
  readonly from: number
  readonly to: number
  readonly #low: number
  readonly #high: number

  constructor({ scale }: Axis, values: readonly number[], from: number, to: number) {
    this.#isLog = scale === 'log'
    this.from = from
    this.to = to
    const known = values.filter((value) => Number.isFinite(value) && (!this.#isLog || value > 0))
    this.ticks = this.#isLog ? powersOfTen(known) : evenSteps(known)
    this.#low = this.#position(this.ticks[0] ?? 0)
    this.#high = this.#position(this.ticks.at(-1) ?? 1)
  }

  at(value: number): number {
    const share = (this.#position(value) - this.#low) / (this.#high - this.#low || 1)
    return this.from + share * (this.to - this.from)
  }

  #position(value: number): number {
    return this.#isLog ? Math.log10(value) : value
  }
}

/** Those that enclose the values. */
function powersOfTen(values: readonly number[]): number[] {
  const low = Math.floor(Math.log10(lowest(values)) + 1e-9)
  const high = Math.ceil(Math.log10(highest(values)) - 1e-9)
  return Array.from({ length: Math.max(high - low, 1) + 1 }, (_, index) => 10 ** (low + index))
}

/** Round numbers from 0 to above the highest value. */
function evenSteps(values: readonly number[]): number[] {
  const rough = Math.max(highest(values), 1e-9) / linearTicks
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
  const count = Math.ceil(highest(values) / step - 1e-9)
  return Array.from({ length: Math.max(count, 1) + 1 }, (_, index) => index * step)
}

function lowest(values: readonly number[]): number {
  return values.length === 0 ? 1 : values.reduce((low, value) => Math.min(low, value))
}

function highest(values: readonly number[]): number {
  return values.length === 0 ? 1 : values.reduce((high, value) => Math.max(high, value))
}

function xAxis(axis: Axis, x: Scale, y: Scale): string[] {
  return [
    ...x.ticks.flatMap((tick) => {
      const at = x.at(tick)
      const label = text(at, y.from + 18, axis.write(tick), 'text-anchor="middle"')
      return [grid(at, y.to, at, y.from), label]
    }),
    text((x.from + x.to) / 2, y.from + 40, axis.label, 'text-anchor="middle"'),
  ]
}

function yAxis(axis: Axis, y: Scale, middle: number): string[] {
  const turned = `text-anchor="middle" transform="translate(16 ${middle}) rotate(-90)"`
  return [
    ...y.ticks.flatMap((tick) => {
      const at = y.at(tick)
      const label = text(frame.left - 8, at + 4, axis.write(tick), 'text-anchor="end"')
      return [grid(frame.left, at, width - frame.right, at), label]
    }),
    text(0, 0, axis.label, turned),
  ]
}

function legend(all: readonly Series[]): string[] {
  const columnWidth = (width - frame.left - frame.right) / legendColumns
  return all.flatMap((series, index) => {
    const x = frame.left + (index % legendColumns) * columnWidth
    const y = legendTop + Math.floor(index / legendColumns) * legendLine
    const sample = `<path d="M${round(x)} ${y - 4}h20" ${strokeOf(series)} stroke-width="2"/>`
    return [sample, text(x + 26, y, series.name)]
  })
}

function strokeOf({ colour, isDashed }: Series): string {
  return `stroke="${colourOf(colour)}"${isDashed ? ' stroke-dasharray="5 3"' : ''}`
}

function curve(plot: Plot, series: Series, x: Scale, y: Scale): string[] {
  const isDrawable = ([, value]: Point) => plot.y.scale === 'linear' || value > 0
  const places = series.points.filter(isDrawable).map(([a, b]) => [round(x.at(a)), round(y.at(b))])
  const path = places.map((place) => place.join(' ')).join('L')
  const stroke = `fill="none" ${strokeOf(series)} stroke-width="${plot.hasMarks ? 2 : 1.25}"`
  const fill = `fill="${colourOf(series.colour)}"`
  const marks = plot.hasMarks ? places : []
  return [
    ...(path === '' ? [] : [`<path d="M${path}" ${stroke}/>`]),
    ...marks.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3.5" ${fill}/>`),
  ]
}

function grid(x1: number, y1: number, x2: number, y2: number): string {
  const ends = `x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"`
  return `<line ${ends} stroke="${ink}" stroke-opacity="${gridOpacity}"/>`
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped}</text>`
}

function colourOf(index: number): string {
  return colours[index % colours.length] ?? ink
}

function round(number: number): number {
  return Math.round(number * 10) / 10
}
