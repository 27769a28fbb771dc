// Run after `npm install` has changed package-lock.json, here or in the folder that is given. A
// registry that mirrors only some packages may not know the binaries for other platforms; npm then
// leaves them out of the lockfile, and `npm ci` refuses it afterwards. Their versions are known from
// the packages that want them, and their platforms from their names, so they are filled in here.
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { root } from './run.mjs'

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'win32']
const processors = [
  ...['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'],
  'wasm32',
]
const libraries = new Map([
  ['gnu', 'glibc'],
  ['musl', 'musl'],
])

/** What a package for one platform says of itself, read from a name such as `tar-linux-x64-gnu`. */
function platformOf(name) {
  const words = name.split('-')
  const cpu = words.filter((word) => processors.includes(word))
  const os = words.filter((word) => systems.includes(word))
  const libc = os.includes('linux') ? words.filter((word) => libraries.has(word)) : []
  return {
    cpu,
    ...(libc.length > 0 && { libc: libc.map((word) => libraries.get(word)) }),
    ...(os.length > 0 && { os }),
  }
}

const path = resolve(root, process.argv[2] ?? '.', 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8'))
let added = 0
for (const [place, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const target = `node_modules/${name}`
    const platform = platformOf(name)
    if (target in lock.packages || `${place}/${target}` in lock.packages) continue
    if (platform.cpu.length === 0) continue
    lock.packages[target] = {
      version,
      ...(entry.dev && { dev: true }),
      optional: true,
      ...platform,
    }
    added += 1
  }
}
const places = Object.keys(lock.packages).sort((a, b) => a.localeCompare(b, 'en'))
lock.packages = Object.fromEntries(places.map((place) => [place, lock.packages[place]]))
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${added} packages for other platforms were added to package-lock.json.`)
