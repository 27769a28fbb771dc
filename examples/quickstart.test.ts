import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8')

function firstBlock(language: string): string | undefined {
  return new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(readme)?.[1]
}

test('the example in README is the quickstart, and prints what README says', () => {
  expect(firstBlock('ts')).toBe(readFileSync(`${root}examples/quickstart.ts`, 'utf8'))
  const program = `${root}dist/examples/quickstart.js`
  const printed = execFileSync(process.execPath, [program], { encoding: 'utf8' })
  expect(firstBlock('text')).toBe(printed)
})
