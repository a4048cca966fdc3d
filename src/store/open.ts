import { existsSync } from 'node:fs'
import type { GrantStore } from '#journey/ports.ts'
import { openEmbeddedStore } from './embedded.ts'
import { openSeal } from './seal-key.ts'

/** The embedded store and its seal. A new key is made only where there is no store yet: it would open no old one. Throws StoreError. */
export function openStore(order: {
  readonly path: string
  readonly sealKey: string
  readonly uid: number | undefined
}): GrantStore {
  const { path, sealKey, uid } = order
  return openEmbeddedStore({
    path,
    seal: openSeal({ path: sealKey, make: !existsSync(path) && !existsSync(runsBeside(path)), uid }),
  })
}

/** Where the runs are, beside the grants: each file is opened, and may fail, by itself. */
export function runsBeside(path: string): string {
  return `${path}-runs`
}
