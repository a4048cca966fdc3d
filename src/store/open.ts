import { existsSync, renameSync } from 'node:fs'
import type { GrantStore } from '#journey/ports.ts'
import { openEmbeddedStore } from './embedded.ts'
import { openSeal } from './seal-key.ts'
import { Spent } from './spent.ts'

/** The embedded store and its seal. A new key is made only where there is no store yet: it would open no old one. Throws StoreError. */
export function openStore(order: {
  readonly path: string
  readonly sealKey: string
  readonly uid: number | undefined
}): GrantStore {
  const { path, sealKey, uid } = order
  return openEmbeddedStore({
    path,
    spent: new Spent(`${path}-spent`),
    seal: openSeal({ path: sealKey, make: !existsSync(path) && !existsSync(runsBeside(path)), uid }),
  })
}

/** Where the runs are, beside the grants: each file is opened, and may fail, by itself. */
export function runsBeside(path: string): string {
  return `${path}-runs`
}

/** Renames what cannot be a store, its log with it, so that it is kept and in nobody's way. Gives the new name. */
export function setAside(path: string): string {
  let number = 1
  while (existsSync(`${path}.unusable-${number}`)) number += 1
  for (const part of ['', '-wal', '-shm'])
    if (existsSync(path + part)) renameSync(path + part, `${path}.unusable-${number}${part}`)
  return `${path}.unusable-${number}`
}
