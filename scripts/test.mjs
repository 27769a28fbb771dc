// Builds, runs every test of the project and ends with the line "N passed, N failed".
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from './build.mjs'
import { localCommand, root, run } from './run.mjs'
import { Totals } from './totals.mjs'

function heading(text) {
  console.log(`\n== ${text}`)
}

async function testRust() {
  heading('Rust tests')
  const totals = new Totals()
  const code = await run('cargo', ['test', '--workspace', '--no-fail-fast'], {
    onLine: (line) => totals.addCargoLine(line),
  })
  return totals.settle('cargo test', code)
}

async function testTypeScript() {
  heading('TypeScript tests')
  const folder = mkdtempSync(join(tmpdir(), 'tetralog-report-'))
  const report = join(folder, 'report.json')
  const totals = new Totals()
  const code = await run(localCommand('vitest'), [
    ...['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
  ])
  try {
    totals.addVitestReport(JSON.parse(readFileSync(report, 'utf8')))
  } catch {
    console.error('vitest left no report.')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return totals.settle('vitest', code)
}

function typeTestFiles() {
  if (!existsSync(`${root}__test__`)) return []
  const names = readdirSync(`${root}__test__`, { recursive: true }).map(String)
  return names.filter((name) => name.endsWith('.test-d.ts')).sort()
}

/** A file of type tests passes if the compiler has nothing to say about it. */
async function testTypes() {
  heading('Type tests')
  const totals = new Totals()
  const complaints = new Set()
  const code = await run(
    localCommand('tsc'),
    ['-p', '__test__/tsconfig.json', '--pretty', 'false'],
    {
      onLine: (line) => complaints.add(line.split('(')[0].replaceAll('\\', '/')),
    },
  )
  for (const name of typeTestFiles()) {
    const failed = complaints.has(`__test__/${name.replaceAll('\\', '/')}`)
    console.log(` ${failed ? '✗' : '✓'} ${name}`)
    if (failed) totals.failed += 1
    else totals.passed += 1
  }
  return totals.settle('tsc', code)
}

async function test() {
  const totals = new Totals()
  if (await build()) {
    for (const runner of [testRust, testTypeScript, testTypes]) totals.add(await runner())
  } else {
    totals.failed += 1
  }
  console.log(`\n${totals}`)
  return totals.failed === 0
}

process.exitCode = (await test()) ? 0 : 1
