import { describe, expect, test } from 'vitest'
import { type Axis, drawPlot, type Plot } from './plot.js'

const axis = (scale: Axis['scale'], label = 'axis'): Axis => ({ label, scale, write: String })
const plot = (change: Partial<Plot> = {}): Plot => ({
  title: 'Title',
  x: axis('linear'),
  y: axis('linear'),
  series: [
    {
      name: 'series',
      points: [
        [0, 0],
        [10, 100],
      ],
      colour: 0,
      isDashed: false,
    },
  ],
  hasMarks: true,
  ...change,
})

describe('a plot', () => {
  test('has a tick on round numbers from 0 to above the highest value', () => {
    const labels = [...drawPlot(plot()).matchAll(/text-anchor="end">([^<]+)</g)]
    expect(labels.map(([, label]) => label)).toEqual(['0', '20', '40', '60', '80', '100'])
  })

  test('with a logarithmic axis has its ticks on powers of ten', () => {
    const labels = [...drawPlot(plot({ y: axis('log') })).matchAll(/text-anchor="end">([^<]+)</g)]
    expect(labels.map(([, label]) => label)).toEqual(['100', '1000'])
  })

  test('leaves out of a logarithmic axis what has no logarithm', () => {
    const svg = drawPlot(plot({ y: axis('log') }))
    expect(svg.match(/<circle/g)).toHaveLength(1)
    expect(svg).not.toContain('Infinity')
    expect(svg).not.toContain('NaN')
  })

  test('can be drawn without any points', () => {
    for (const scale of ['linear', 'log'] as const) {
      const svg = drawPlot(plot({ y: axis(scale), series: [] }))
      expect(svg).not.toContain('NaN')
      expect(svg).not.toContain('Infinity')
    }
  })

  test('escapes its texts', () => {
    expect(drawPlot(plot({ title: 'a < b & c' }))).toContain('a &lt; b &amp; c')
  })
})
