import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Within the package, so that an example finds it by its name. */
const folder = join(root, 'target', 'docs')
const options: ExecFileSyncOptionsWithStringEncoding = {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
}

interface Example {
  readonly name: string
  readonly source: string
}

function examplesIn(page: string): Example[] {
  const text = readFileSync(join(root, 'docs', page), 'utf8')
  const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, source = '']) => source)
  return blocks.map((source, nth) => ({ name: `${basename(page, '.md')}-${nth + 1}`, source }))
}

/** What the comments behind its calls say that an example prints. */
function promised({ source }: Example): string {
  const calls = [...source.matchAll(/console\.log\(.*\/\/ (.+)$/gm)]
  return calls.map(([, said]) => said).join(' ')
}

const examples = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .flatMap(examplesIn)

describe('the examples of the documentation', () => {
  let empty: string

  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    empty = mkdtempSync(join(tmpdir(), 'tetralog-docs-'))
    for (const { name, source } of examples) writeFileSync(join(folder, `${name}.ts`), source)
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: '../../tsconfig.json',
        include: ['*.ts'],
        compilerOptions: { outDir: '.', rootDir: '.' },
      }),
    )
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], options)
  }, 60_000)

  afterAll(() => rmSync(empty, { recursive: true, force: true }))

  test('are there', () => expect(examples.length).toBeGreaterThan(5))

  test.each(examples)('$name prints what its comments say', (example) => {
    const program = join(folder, `${example.name}.js`)
    const lines = execFileSync(process.execPath, [program], { ...options, cwd: empty })
    const words = (text: string) => text.replaceAll(',', '').split(/\s+/).filter(Boolean)
    expect(words(lines)).toEqual(words(promised(example)))
  })
})
