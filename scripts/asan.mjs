// Runs the engine's tests, and those of the store through the addon, under AddressSanitizer: whatever reads or
// writes memory that is not its own ends the run. `npm run proof:asan [-- engine | addon]`.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { fail, localCommand, root, run } from './run.mjs'

const target = 'x86_64-unknown-linux-gnu'
const folder = `${root}target/asan`

/** What is instrumented is no part of a build that anybody else uses. */
const env = {
  // Sanitizers are unstable options of the compiler.
  RUSTC_BOOTSTRAP: '1',
  RUSTFLAGS: '-Zsanitizer=address',
  CARGO_TARGET_DIR: folder,
  // Without it the checks make some tests miss the time that they allow.
  CARGO_PROFILE_DEV_OPT_LEVEL: '1',
}
/** Has a millisecond for what takes the checks longer. */
const tooSlow = 'a_long_answer_begins_at_once_and_goes_on'
/** Stores on disk: maps, unlinked files, files that are cut; and the unsafe module's own tests. */
const engine = [
  'lib',
  'opening',
  'reading',
  'runs',
  'directory',
  'writer',
  'damage',
  'repair',
  'hostile',
  'unreadable',
]

async function testEngine() {
  const places = engine.flatMap((name) => (name === 'lib' ? ['--lib'] : ['--test', name]))
  const options = ['-p', 'tetralog-core', '--target', target, '--no-fail-fast']
  const args = ['test', ...options, ...places, '--', '--skip', tooSlow]
  return (await run('cargo', args, { env })) === 0
}

/** The sanitizer's runtime for a process that was not built with it. */
function runtime() {
  for (const compiler of ['clang', 'gcc', 'cc']) {
    const name = compiler === 'clang' ? 'libclang_rt.asan-x86_64.so' : 'libasan.so'
    const { stdout } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' })
    const path = stdout?.trim() ?? ''
    if (path.startsWith('/') && existsSync(path)) return path
  }
  return fail('AddressSanitizer is not installed: it comes with gcc (libasan) and clang.')
}

async function testAddon() {
  const preloaded = runtime()
  const args = ['build', '-p', 'tetralog-node', '--target', target]
  if ((await run('cargo', args, { env })) !== 0) return false
  const addon = `${folder}/tetralog.asan.node`
  copyFileSync(`${folder}/${target}/debug/libtetralog_node.so`, addon)
  const code = await run(process.execPath, [localCommand('vitest'), 'run', '__test__/store'], {
    env: {
      LD_PRELOAD: preloaded,
      // Node frees little of its own when it ends.
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
      TETRALOG_ADDON: addon,
    },
  })
  return code === 0
}

const parts = { engine: testEngine, addon: testAddon }

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const chosen = process.argv.slice(2)
  for (const [name, test] of Object.entries(parts)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue
    console.log(`== ${name} under AddressSanitizer`)
    if (!(await test())) process.exitCode = 1
  }
}
