/** The files of a state by name, and how one is moved out of the way. */
import { existsSync, renameSync } from 'node:fs'

/** Where it is written which seeds are spent, beside the grants. */
export function spentBeside(path: string): string {
  return `${path}-spent`
}

/** Where spend is, beside the grants. */
export function ledgerBeside(path: string): string {
  return `${path}-ledger`
}

/** Where the runs are, beside the grants: each file is opened, and may fail, by itself. */
export function runsBeside(path: string): string {
  return `${path}-runs`
}

/** Renames a database, its log with it, so that it is kept and in nobody's way. `why` is a part of the new name, which it gives. */
export function setAside(path: string, why: 'unusable' | 'replaced' = 'unusable'): string {
  let number = 1
  while (existsSync(`${path}.${why}-${number}`)) number += 1
  for (const part of ['', '-wal', '-shm']) if (existsSync(path + part)) renameSync(path + part, `${path}.${why}-${number}${part}`)
  return `${path}.${why}-${number}`
}
