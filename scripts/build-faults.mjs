// Builds the addon whose disk fails on request, for tests of what an application sees then, and prints where it
// is. In the profile of the tests, so that of what they have built only the bindings are built again.
import { copyFileSync, renameSync } from 'node:fs'
import { fail, root, run } from './run.mjs'

const built = `${root}target/debug/libtetralog_node.so`
const addon = `${root}target/debug/tetralog.faults.node`

const args = ['build', '-q', '-p', 'tetralog-node', '--features', 'faults']
if ((await run('cargo', args)) !== 0) fail('The addon with faults was not built.')
// Whoever has the old one loaded keeps it.
copyFileSync(built, `${addon}.tmp`)
renameSync(`${addon}.tmp`, addon)
console.log(addon)
