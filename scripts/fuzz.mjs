// Runs the fuzz targets one after another, each from its corpus, and fails if one finds something.
//   node scripts/fuzz.mjs [--seconds 60] [--seed 1] [--only segment] [--keep] [--json FILE]
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fail, root } from './run.mjs'

const options = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.trunc(Math.random() * 2 ** 31)) },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
}).values

/** Sanitizers and coverage are unstable options of the compiler. */
const env = { ...process.env, RUSTC_BOOTSTRAP: '1' }
/** MiB that a target may take in all and at once, and seconds for one input. */
const limits = ['-rss_limit_mb=2048', '-malloc_limit_mb=512', '-timeout=30']

function cargoFuzz(...args) {
  const { status, stderr } = spawnSync('cargo', ['fuzz', ...args], {
    cwd: root,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  return { status, stderr }
}

function targets() {
  const manifest = readFileSync(`${root}fuzz/Cargo.toml`, 'utf8')
  const paths = [...manifest.matchAll(/path = "fuzz_targets\/(\w+)\.rs"/g)]
  return paths.map(([, name]) => name).filter((name) => name === (options.only ?? name))
}

/** What the fuzzer says of a run when it is asked for its final figures. */
function figure(output, name) {
  const found = new RegExp(`stat::${name}:\\s+(\\d+)`).exec(output)
  return found ? Number(found[1]) : 0
}

function coverage(output) {
  return Number([...output.matchAll(/ cov: (\d+)/g)].at(-1)?.[1] ?? 0)
}

function fuzz(target) {
  // Without --keep what is found stays out of the repository: its corpus is small.
  const corpus = options.keep ? [] : [`fuzz/target/corpus/${target}`, `fuzz/corpus/${target}`]
  for (const folder of corpus) mkdirSync(`${root}${folder}`, { recursive: true })
  const flags = [`-max_total_time=${options.seconds}`, `-seed=${options.seed}`, ...limits]
  const started = Date.now()
  const args = ['run', target, ...corpus, '--', ...flags, '-print_final_stats=1']
  const { status, stderr } = cargoFuzz(...args)
  const seconds = Math.round((Date.now() - started) / 1000)
  const executions = figure(stderr, 'number_of_executed_units')
  const result = { target, executions, coverage: coverage(stderr), seconds, found: status !== 0 }
  console.log(
    `${target.padEnd(12)} ${String(executions).padStart(9)} executions, ${result.coverage} edges, ` +
      `${seconds} s${result.found ? ': FOUND SOMETHING' : ''}`,
  )
  if (result.found) console.error(stderr.split('\n').slice(-60).join('\n'))
  return result
}

if (spawnSync('cargo', ['fuzz', '--version']).status !== 0) {
  fail('The fuzz targets need cargo-fuzz: "cargo install cargo-fuzz --locked".')
}
console.log(`Seed ${options.seed}; each target has ${options.seconds} s. Building ...`)
const build = cargoFuzz('build')
if (build.status !== 0) fail(`The fuzz targets could not be built.\n${build.stderr}`)
const results = targets().map(fuzz)
if (options.json !== undefined) {
  const measured = { proof: 'fuzz', seed: Number(options.seed), targets: results }
  writeFileSync(options.json, `${JSON.stringify(measured, null, 2)}\n`)
}
const found = results.filter((result) => result.found)
if (found.length > 0) fail(`Found something: ${found.map(({ target }) => target).join(', ')}.`)
