import { existsSync } from 'node:fs'
import { noteOpening } from './sqlite/database-id.ts'
import { openDatabase } from './sqlite/database.ts'
import { EmbeddedStore } from './sqlite/grants.ts'
import { openSeal, putBackSeal } from './seal-key.ts'
import { Spent } from './spent.ts'
import { runsBeside, spentBeside } from './state-files.ts'
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
}): EmbeddedStore {
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
  return new EmbeddedStore(database, {
    path,
    seal,
    spent,
    remade: told,
    keepSeal: () => putBackSeal(sealKey, seal),
  })
}
