// Builds the native addon (binding.cjs, binding.d.cts, *.node) and compiles TypeScript into dist/.
// Both tools skip what is up to date.
import { pathToFileURL } from 'node:url'
import { localCommand, run } from './run.mjs'
import { checkToolchain } from './toolchain.mjs'

const addon = [
  ...['build', '--platform', '--release', '--manifest-path', 'crates/node/Cargo.toml'],
  ...['--output-dir', '.', '--js', 'binding.cjs', '--dts', 'binding.d.cts'],
]

/** Resolves with whether everything was built. */
export async function build() {
  checkToolchain()
  if ((await run(localCommand('napi'), addon)) !== 0) {
    console.error('The native addon was not built.')
    return false
  }
  if ((await run(localCommand('tsc'), ['-p', 'tsconfig.json'])) !== 0) {
    console.error('TypeScript was not compiled.')
    return false
  }
  return true
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = (await build()) ? 0 : 1
}
