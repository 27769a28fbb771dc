import { expect, test } from 'vitest'
import { fillSection } from './sections.js'

const page = 'before\n<!-- name -->\nold\n<!-- /name -->\nafter\n'

test('a section is replaced, and nothing around it', () => {
  expect(fillSection(page, 'name', 'new')).toBe(
    'before\n<!-- name -->\n\nnew\n\n<!-- /name -->\nafter\n',
  )
})

test('filling a section again changes nothing', () => {
  const filled = fillSection(page, 'name', 'new')
  expect(fillSection(filled, 'name', 'new')).toBe(filled)
})

test('a section that the page does not have is refused', () => {
  expect(() => fillSection(page, 'other', 'new')).toThrow('no section "other"')
})
