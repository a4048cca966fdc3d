/** The key the store is sealed with: one file of 32 random bytes as base64, for nobody else's eyes, never written over. */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { decodeBase64 } from '#base/bytes.ts'
import { openToOthers } from '#base/file-mode.ts'
import { makeWhole } from './new-file.ts'
import { Seal, sealKeyBytes } from './seal.ts'
import { StoreError } from './store-error.ts'

/**
 * Reads the key. With `make` a missing one is made: ask for that only while no store is sealed yet, for a new key opens
 * no old store. The file must be private, as `openToOthers` judges it; `uid` is the user we run as. Throws StoreError.
 */
export function openSeal(order: { readonly path: string; readonly make: boolean; readonly uid?: number | undefined }): Seal {
  const { path, make, uid } = order
  const text = readKey(path, uid) ?? (make ? makeKey(path, uid) : undefined)
  if (text === undefined)
    throw new StoreError('seal_key_missing', `${path}: is not there, and the store opens with no other key; restore it`)
  const key = Buffer.from(decodeBase64(text.trim()) ?? '', 'latin1')
  if (key.length !== sealKeyBytes) {
    throw new StoreError(
      'seal_key_bad',
      `${path}: must hold ${sealKeyBytes} random bytes as base64; \`openssl rand -base64 ${sealKeyBytes}\` makes them`,
    )
  }
  return new Seal(key)
}

/** Writes the key again where its file is gone: what is sealed with it would open for nobody. Throws the system's error. */
export function putBackSeal(path: string, seal: Seal): void {
  if (existsSync(path)) return
  makeWhole(path, (temporary) => writeFileSync(temporary, `${seal.key().toString('base64')}\n`, { flush: true }))
}

/** Of two processes that start at once, both get the key of the one that was first. */
function makeKey(path: string, uid: number | undefined): string | undefined {
  try {
    makeWhole(path, (temporary) => {
      writeFileSync(temporary, `${randomBytes(sealKeyBytes).toString('base64')}\n`, { flush: true })
    })
  } catch (error) {
    throw new StoreError(
      'seal_key_missing',
      `${path}: is not there and cannot be made (${errno(error)}); let the proxy write to its folder, or put a key there`,
      { cause: error },
    )
  }
  return readKey(path, uid)
}

/** `undefined`: there is no such file. Judges the file that was opened, not what the path names a moment later. */
function readKey(path: string, uid: number | undefined): string | undefined {
  let descriptor: number | undefined
  try {
    descriptor = openSync(path, 'r')
    const mode = openToOthers(fstatSync(descriptor), uid)
    if (mode === undefined) return readFileSync(descriptor, 'utf8')
    throw new StoreError('seal_key_mode', `${path}: mode ${mode} lets others at the seal key; run \`chmod 600 ${path}\``)
  } catch (error) {
    if (error instanceof StoreError) throw error
    if (errno(error) === 'ENOENT') return undefined
    throw new StoreError('seal_key_bad', `${path}: cannot be read (${errno(error)}); let the proxy, and it alone, read it`, {
      cause: error,
    })
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

function errno(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error'
}
