// Seeds bugs into a copy of the engine, one at a time, and shows that the tests notice: each mutant names
// the test that has to fail. `npm run proof:mutants [-- name …]`; the table goes to scripts/mutants/results.json.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mutants } from './mutants/list.mjs'
import { fail, root } from './run.mjs'

const copy = `${root}target/mutants/`
const results = `${root}scripts/mutants/results.json`

/** A fresh copy of what cargo needs; its own build products stay, so that a mutant builds one crate. */
function makeCopy() {
  rmSync(`${copy}crates`, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  for (const name of ['Cargo.toml', 'Cargo.lock', 'crates', 'fixtures', 'docs']) {
    cpSync(`${root}${name}`, `${copy}${name}`, { recursive: true, preserveTimestamps: true })
  }
}

/** Changes the files of a mutant in the copy; returns how they were. */
function seed({ name, edits }) {
  return edits.map(([file, from, to]) => {
    const path = `${copy}crates/core/src/${file}`
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2)
      fail(`Mutant '${name}' fits ${file} no more: mend scripts/mutants/list.mjs.`)
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
  const child = spawnSync('cargo', args, { cwd: copy, encoding: 'utf8', timeout: 600_000 })
  const output = `${child.stdout}${child.stderr}`
  if (child.error) return 'hangs'
  if (/^error(\[|:) (?!test failed)/m.test(output) && !output.includes('test result')) {
    console.error(output)
    return 'does not compile'
  }
  if (!/running 1 test/.test(output)) return 'has no such test'
  return child.status === 0 ? 'passes' : 'fails'
}

const chosen = process.argv.slice(2)
const list = mutants.filter(({ name }) => chosen.length === 0 || chosen.includes(name))
makeCopy()
const rows = []
for (const mutant of list) {
  const before = seed(mutant)
  const outcome = cargoTest(mutant)
  for (const [path, text] of before.reverse()) writeFileSync(path, text)
  const caught = outcome === 'fails' || outcome === 'hangs'
  rows.push({ mutant: mutant.name, test: `${mutant.target}::${mutant.test}`, outcome, caught })
  console.log(
    `${caught ? 'caught ' : 'MISSED '} ${mutant.name}: ${mutant.target}::${mutant.test} ${outcome}`,
  )
}
// Without a bug every one of these tests passes; otherwise that they fail means nothing.
const tests = new Map(list.map((one) => [`${one.target}::${one.test}`, one]))
const broken = [...tests].filter(([, one]) => cargoTest(one) !== 'passes').map(([name]) => name)
for (const name of broken) console.log(`BROKEN  ${name} does not pass without a mutant`)
if (chosen.length === 0) writeFileSync(results, `${JSON.stringify(rows, null, 2)}\n`)
const missed = rows.filter(({ caught }) => !caught).length
console.log(`${rows.length - missed} of ${rows.length} mutants caught`)
process.exitCode = missed === 0 && broken.length === 0 ? 0 : 1
