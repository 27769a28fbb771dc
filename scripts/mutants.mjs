// Seeds bugs into a copy of the project, one at a time, and shows that the tests notice: each mutant names
// the test that has to fail. `npm run proof:mutants [-- name …]`; the table is scripts/mutants/results.json.
// With `--check` it only sees whether all of them still fit the code.

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { mutants } from './mutants/list.mjs'
import { fail, localCommand, root } from './run.mjs'

const copy = `${root}target/mutants/`
const results = `${root}scripts/mutants/results.json`
const RUST = ['Cargo.toml', 'Cargo.lock', 'crates', 'fixtures', 'docs']
const TYPESCRIPT = ['index.ts', 'src', '__test__', 'package.json', 'tsconfig.json', 'binding.cjs']
const TIME_LIMIT = { encoding: 'utf8', timeout: 600_000 }

/** A fresh copy of what the tests need; build products stay, so that a mutant builds one crate. */
function makeCopy() {
  const addons = readdirSync(root).filter((name) => name.endsWith('.node'))
  for (const name of [...RUST, ...TYPESCRIPT, ...addons, 'vitest.config.ts']) {
    if (!existsSync(`${root}${name}`)) fail(`${name} is missing: run "npm run build" first.`)
    rmSync(`${copy}${name}`, { recursive: true, force: true })
    mkdirSync(copy, { recursive: true })
    cpSync(`${root}${name}`, `${copy}${name}`, { recursive: true })
  }
  if (!existsSync(`${copy}node_modules`)) symlinkSync(`${root}node_modules`, `${copy}node_modules`)
}

/** A file that a mutant changes, below a folder. */
function sourceIn(folder, file) {
  return file.endsWith('.ts') ? `${folder}${file}` : `${folder}crates/core/src/${file}`
}

function checkFit({ name, edits }) {
  for (const [file, from] of edits) {
    if (readFileSync(sourceIn(root, file), 'utf8').split(from).length !== 2)
      fail(`Mutant '${name}' fits ${file} no more: mend scripts/mutants/list.mjs.`)
  }
}

/** Changes the files of a mutant in the copy; returns how they were. */
function seed({ edits }) {
  return edits.map(([file, from, to]) => {
    const path = sourceIn(copy, file)
    const text = readFileSync(path, 'utf8')
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
    return [path, text]
  })
}

function cargoTest({ crate, target, test }) {
  const place = target === 'lib' ? ['--lib'] : ['--test', target]
  const args = ['test', '-q', '-p', crate, ...place, '--', '--exact', test]
  const child = spawnSync('cargo', args, { cwd: copy, ...TIME_LIMIT })
  const output = `${child.stdout}${child.stderr}`
  if (child.error) return 'hangs'
  if (/^error(\[|:) (?!test failed)/m.test(output) && !output.includes('test result')) {
    console.error(output)
    return 'does not compile'
  }
  if (!/running 1 test/.test(output)) return 'has no such test'
  return child.status === 0 ? 'passes' : 'fails'
}

function vitest({ target, test }) {
  const pattern = `^${test.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`
  const args = ['run', `__test__/${target}.test.ts`, '-t', pattern, '--reporter=json']
  const child = spawnSync(localCommand('vitest'), args, { cwd: copy, ...TIME_LIMIT })
  if (child.error) return 'hangs'
  const start = child.stdout.indexOf('{')
  if (start < 0) {
    console.error(`${child.stdout}${child.stderr}`)
    return 'does not compile'
  }
  const { numPassedTests, numFailedTests } = JSON.parse(child.stdout.slice(start))
  if (numPassedTests + numFailedTests !== 1) return 'has no such test'
  return numFailedTests === 0 ? 'passes' : 'fails'
}

function runTest(mutant) {
  return mutant.crate === undefined ? vitest(mutant) : cargoTest(mutant)
}

function nameOf({ target, test }) {
  return `${target}::${test}`
}

/** Writes what is known of all mutants on the list: the outcomes of now, and of earlier runs. */
function keep(rows) {
  const earlier = existsSync(results) ? JSON.parse(readFileSync(results, 'utf8')) : []
  const known = new Map([...earlier, ...rows].map((row) => [row.mutant, row]))
  const table = mutants.map(({ name }) => known.get(name)).filter((row) => row !== undefined)
  writeFileSync(results, `${JSON.stringify(table, null, 2)}\n`)
}

const chosen = process.argv.slice(2)
mutants.forEach(checkFit)
if (chosen.includes('--check')) process.exit()
const list = mutants.filter(({ name }) => chosen.length === 0 || chosen.includes(name))
makeCopy()
// Without a bug every one of these tests has to pass; otherwise that it fails means nothing.
const broken = new Set()
for (const [name, one] of new Map(list.map((one) => [nameOf(one), one]))) {
  const outcome = runTest(one)
  if (outcome === 'passes') continue
  broken.add(name)
  console.log(`BROKEN  ${name} ${outcome} without a mutant`)
}
const rows = []
for (const mutant of list) {
  const before = seed(mutant)
  const outcome = runTest(mutant)
  for (const [path, text] of before.reverse()) writeFileSync(path, text)
  const test = nameOf(mutant)
  const caught = !broken.has(test) && (outcome === 'fails' || outcome === 'hangs')
  rows.push({ mutant: mutant.name, test, outcome, caught })
  keep(rows)
  console.log(`${caught ? 'caught ' : 'MISSED '} ${mutant.name}: ${test} ${outcome}`)
}
const missed = rows.filter(({ caught }) => !caught).length
console.log(`${rows.length - missed} of ${rows.length} mutants caught`)
process.exitCode = missed === 0 ? 0 : 1
