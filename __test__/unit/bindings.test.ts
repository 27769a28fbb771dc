import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('../../crates/node/src/', import.meta.url))

test('every function of the bindings catches panics: none may cross into Node', () => {
  const careless: string[] = []
  let careful = 0
  for (const name of readdirSync(folder)) {
    const source = readFileSync(`${folder}${name}`, 'utf8')
    for (const [, options = '', fn] of source.matchAll(
      /#\[napi(\(.*\))?\]\s+(?:#\[.*\]\s+)*pub fn (\w+)/g,
    )) {
      if (options.includes('catch_unwind')) careful++
      else careless.push(`${name}: ${fn}`)
    }
  }
  expect(careless).toEqual([])
  expect(careful).toBeGreaterThan(30)
})
