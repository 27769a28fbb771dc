// Every place that states the version must state the same one.
import { readdirSync, readFileSync } from 'node:fs'
import { root } from './run.mjs'

function workspaceVersion() {
  const manifest = readFileSync(`${root}Cargo.toml`, 'utf8')
  const section = /^\[workspace\.package\]$([^[]*)/m.exec(manifest)?.[1] ?? ''
  return /^version\s*=\s*"([^"]+)"/m.exec(section)?.[1]
}

function packageVersion(path) {
  return JSON.parse(readFileSync(`${root}${path}`, 'utf8')).version
}

const stated = new Map([
  ['package.json', packageVersion('package.json')],
  ['package-lock.json', packageVersion('package-lock.json')],
  ['Cargo.toml', workspaceVersion()],
])
for (const platform of readdirSync(`${root}npm`)) {
  stated.set(`npm/${platform}/package.json`, packageVersion(`npm/${platform}/package.json`))
}

for (const [file, version] of stated) console.log(`${String(version).padEnd(12)} ${file}`)
if (new Set(stated.values()).size !== 1) {
  console.error('The versions differ: set all of them to the same.')
  process.exitCode = 1
}
