// The proof by exhaustion that nothing damaged goes unnoticed, in full: `npm run proof:damage [-- --json FILE]`.
import { writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { run } from './run.mjs'

const { json } = parseArgs({ options: { json: { type: 'string' } } }).values
const counts = {}

/** The tests print what they count: `counted <what>: <number>`. */
function count(line) {
  const found = /counted (.+): (\d+)$/.exec(line)
  if (found) counts[found[1]] = Number(found[2])
}

const started = Date.now()
const test = [
  'test',
  '--release',
  '-p',
  'tetralog-core',
  '--test',
  'every_byte',
  '--',
  '--nocapture',
]
const code = await run('cargo', test, { env: { TETRALOG_PROOF: 'full' }, onLine: count })
if (json !== undefined) {
  const machine = `Linux ${release()} ${process.arch}, ${cpus().length} processors`
  const seconds = Math.round((Date.now() - started) / 1000)
  const ordered = Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a.localeCompare(b)))
  const result = { proof: 'damage', machine, counts: ordered, seconds, held: code === 0 }
  writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`)
}
process.exitCode = code
