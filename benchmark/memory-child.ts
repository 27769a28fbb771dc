// Prints how much anonymous memory a process has that has opened a store, or, if none is named,
// that has only loaded the package. Run by the measurement of memory.
import { readFileSync } from 'node:fs'
import { Store } from 'tetralog'

const [path] = process.argv.slice(2)
const store = path === undefined ? undefined : await Store.open(path)
const found = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))
console.log(found?.[1] ?? Number.NaN)
await store?.close()
