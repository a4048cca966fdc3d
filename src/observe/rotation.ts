/** When an audit file ends and another begins, and which old ones are kept. */
import { readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

export interface FileRotation {
  /** A file that would grow past this ends; 0: never. */
  readonly bytes: number
  /** Most old files; 0: any number. */
  readonly files: number
  /** Days since an old file was last written; 0: any number. */
  readonly days: number
}

const day = 86_400_000
const stamp = /^\.\d{8}T\d{9}Z$/

/** Old files of an audit file, oldest first: `audit.jsonl.20261201T054500123Z`. */
export async function oldFiles(path: string): Promise<readonly string[]> {
  const name = basename(path)
  const entries = await readdir(dirname(path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return entries
    .filter((entry) => entry.startsWith(name) && stamp.test(entry.slice(name.length)))
    .toSorted()
    .map((entry) => join(dirname(path), entry))
}

/** Gives the file its old name. `now` in milliseconds. Throws the system's error. */
export async function moveAway(path: string, now: number): Promise<void> {
  const taken = new Set(await oldFiles(path))
  let at = now
  while (taken.has(oldName(path, at))) at += 1
  await rename(path, oldName(path, at))
}

function oldName(path: string, at: number): string {
  return `${path}.${new Date(at).toISOString().replaceAll(/[-:.]/g, '')}`
}

/** Removes old files past what is kept. Throws the system's error. */
export async function removeOld(path: string, { files, days }: FileRotation, now: number): Promise<void> {
  const old = await oldFiles(path)
  const times = await Promise.all(old.map((file) => stat(file).then(({ mtimeMs }) => mtimeMs)))
  const gone = old.filter(
    (_file, i) => (files > 0 && i < old.length - files) || (days > 0 && now - (times[i] ?? now) > days * day),
  )
  await Promise.all(gone.map((file) => rm(file, { force: true })))
}
