import { randomUUID } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a file that is there whole or not at all, whenever the process is killed: `fill` writes and flushes a temporary
 * of mode 0600, which then gets its name. Missing folders are made with mode 0700. `false`: the name is taken, and what
 * has it stays as it is. Throws what node:fs and `fill` throw.
 */
export function makeWhole(path: string, fill: (temporary: string) => void): boolean {
  const folder = dirname(path)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const temporary = `${path}.${randomUUID()}.new`
  try {
    closeSync(openSync(temporary, 'wx', 0o600))
    fill(temporary)
    // Not a rename: that would write over what is there.
    linkSync(temporary, path)
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && syscall === 'link') return false
    throw error
  } finally {
    rmSync(temporary, { force: true })
  }
  sync(folder)
  return true
}

/** A new name is durable only once its folder is. */
function sync(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
