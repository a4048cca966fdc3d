import { existsSync, renameSync } from 'node:fs'
import type { GrantStore } from '#journey/ports.ts'
import { noteOpening } from './database-id.ts'
import { openDatabase } from './database.ts'
import { EmbeddedStore } from './embedded.ts'
import { openSeal } from './seal-key.ts'
import { Spent } from './spent.ts'
import { toStoreError } from './store-error.ts'

/**
 * The embedded store and its seal. A new key is made only where there is no store yet: it would open no old one. `told`: what is odd
 * about the database, though it can be used. Throws StoreError.
 */
export function openStore(order: {
  readonly path: string
  readonly sealKey: string
  readonly uid: number | undefined
  readonly told?: ((odd: string) => void) | undefined
}): GrantStore {
  const { path, sealKey, uid, told } = order
  const seal = openSeal({ path: sealKey, make: !existsSync(path) && !existsSync(runsBeside(path)), uid })
  const spent = new Spent(spentBeside(path))
  const database = openDatabase(path, seal)
  try {
    const odd = noteOpening(database, path, { seal, spent, now: Date.now() })
    if (odd !== undefined) told?.(odd)
  } catch (error) {
    // A full disk, or another process that writes just now: what is there can be read, and the next start notes it.
    told?.(`${path}: this opening could not be noted (${toStoreError(path, error).message})`)
  }
  return new EmbeddedStore(database, { path, seal, spent })
}

/** Where it is written which seeds are spent, beside the grants. */
export function spentBeside(path: string): string {
  return `${path}-spent`
}

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
