// The page cache of the system: Linux lets root drop it.
import { execFileSync } from 'node:child_process'
import { accessSync, constants, writeFileSync } from 'node:fs'

const dropFile = '/proc/sys/vm/drop_caches'

export function canDropPageCache(): boolean {
  try {
    accessSync(dropFile, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Writes everything that is dirty, then forgets what files hold. Pages that a process has mapped
 *  stay, so stores are to be closed before. */
export function dropPageCache(): void {
  execFileSync('sync')
  writeFileSync(dropFile, '3')
}
