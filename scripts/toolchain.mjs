// Checks that what the build needs is there and new enough, and says in one sentence what is not.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { fail, root } from './run.mjs'

/** Of these major versions, and of newer ones, these are the oldest that can require() ES modules. */
const nodeMinimums = { 20: '20.19', 21: '22.12', 22: '22.12' }

function rustMinimum() {
  const manifest = readFileSync(`${root}Cargo.toml`, 'utf8')
  return /^rust-version\s*=\s*"([\d.]+)"/m.exec(manifest)?.[1] ?? '1.85'
}

function versionOf(command) {
  try {
    const output = execFileSync(command, ['--version'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return /\d+(\.\d+)+/.exec(output)?.[0]
  } catch {
    return undefined
  }
}

function isOlder(version, minimum) {
  const have = version.split('.').map(Number)
  const need = minimum.split('.').map(Number)
  for (const [index, number] of need.entries()) {
    const difference = (have[index] ?? 0) - number
    if (difference !== 0) return difference < 0
  }
  return false
}

function checkRust(command, minimum) {
  const version = versionOf(command)
  const advice = `install Rust ${minimum} or newer, for example with rustup`
  if (version === undefined) fail(`Tetralog needs ${command}, which was not found: ${advice}.`)
  if (isOlder(version, minimum)) {
    fail(`Tetralog needs ${command} ${minimum} or newer, but this is ${version}: ${advice}.`)
  }
}

export function checkToolchain() {
  const node = process.versions.node
  if (isOlder(node, nodeMinimums[Number.parseInt(node, 10)] ?? nodeMinimums[20])) {
    fail(
      `Tetralog needs Node.js 20.19 or 22.12 or newer, but this is ${node}: install one of them.`,
    )
  }
  checkRust('cargo', rustMinimum())
  checkRust('rustc', rustMinimum())
  if (process.platform !== 'win32' && !['cc', 'gcc', 'clang'].some(versionOf)) {
    fail('Tetralog needs a C compiler to link with (cc, gcc or clang), which was not found.')
  }
  if (versionOf('git') === undefined) {
    fail('Tetralog needs git, which was not found: install it and try again.')
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  checkToolchain()
  const found = ['cargo', 'git'].map((command) => `${command} ${versionOf(command)}`)
  console.log(`node ${process.versions.node}, ${found.join(', ')}`)
}
