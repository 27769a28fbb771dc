import { expect, test } from 'vitest'
import { run } from '../helpers/child.js'
import { temporaryFolder } from '../helpers/stores.js'

// A write past the limit gives EFBIG, and the signal SIGXFSZ, which ends processes that do not expect it.
const PROGRAM = `
  import { execFileSync } from 'node:child_process'
  const allow = (bytes) =>
    execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':unlimited'])
  const store = await Store.open(process.argv[1])
  const append = () => store.append({ entity: 'e', fact: 'f', payload: Buffer.alloc(100_000) })
  allow(6 << 20)
  let appended = 0
  let refused
  while (refused === undefined && appended < 500) {
    await append().then(() => appended++, (error) => (refused = error))
  }
  const read = (await store.stream('e').toArray()).length
  allow('unlimited')
  await append()
  await store.close()
  const again = await Store.open(process.argv[1])
  const { ok, events } = await again.verify()
  await again.close()
  const { code, written } = refused
  console.log(JSON.stringify({ code, written, missing: appended - read, ok, more: events - appended }))
`

test.runIf(process.platform === 'linux')(
  'where a limit on the size of files is reached, appends are refused until it is raised, and reads go on',
  async () => {
    const ended = await run(PROGRAM, [temporaryFolder()])
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    const refused = { code: 'ERR_DISK_FULL', written: false }
    expect(JSON.parse(ended.stdout)).toEqual({ ...refused, missing: 0, ok: true, more: 1 })
  },
)
