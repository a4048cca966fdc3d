/**
 * A root is replaced in three steps, with time between them for agents to fetch the bundle: stage the next one beside the
 * one in force, activate it with the old one's word for it, retire the old one. Each step can be given again after a crash.
 */
import { existsSync } from 'node:fs'
import { link, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AuthorityError, createAuthority, openAuthority } from './authority.ts'
import { loadAuthority, refuseReadOnly, writeNew, type AuthorityPaths } from './files.ts'
import { crossSign, mayCrossSign } from './intermediate.ts'
import { rotationPaths } from './trust.ts'

export type RotationPlace = Parameters<typeof loadAuthority>[0]

/**
 * Makes the next root and the word of the one in force for it. Answers whether there is one: a root that may have no CA
 * below it cannot give it, and then every agent needs the new bundle before the next step. Throws AuthorityError.
 */
export async function stage(
  place: RotationPlace,
  order: { readonly commonName: string; readonly days: number },
): Promise<{ readonly crossSigned: boolean }> {
  const paths = rotationPaths(place)
  await refuseUnchangeable(place)
  refuseIfThere(paths.nextCert, 'a root is staged already; go on with `iron-proxy ca rotate --activate`')
  refuseIfThere(paths.oldCert, 'the last rotation is not over; end it with `iron-proxy ca rotate --retire`')
  const active = await loadAuthority(place)
  const made = createAuthority({ ...order, now: place.now })
  const crossSigned = mayCrossSign(active)
  // The certificate comes last: without it these two are what a broken stage left, and mean nothing.
  for (const left of [paths.nextKey, paths.nextCross]) await rm(left, { force: true })
  await writeNew(paths.nextKey, made.keyPem.expose(), 0o600)
  if (crossSigned)
    await writeNew(paths.nextCross, crossSign(active, openAuthority({ ...made, now: place.now }), place.now), 0o644)
  await writeNew(paths.nextCert, made.certPem, 0o644)
  return { crossSigned }
}

/**
 * Puts the staged root in force and keeps the old one beside it for the bundle. `force`: also where the old one gave no
 * word for it, so that agents without the new bundle fail from now on. Throws AuthorityError.
 */
export async function activate(place: RotationPlace, force: boolean): Promise<void> {
  const paths = rotationPaths(place)
  const { certPath, keyPath } = place
  await refuseUnchangeable(place)
  if (!existsSync(paths.nextCert))
    throw new AuthorityError('ca_missing', `${paths.nextCert}: no root is staged; begin with \`iron-proxy ca rotate --stage\``)
  if (existsSync(paths.nextKey)) {
    await loadAuthority({ ...place, certPath: paths.nextCert, keyPath: paths.nextKey })
    if (!force && !existsSync(paths.nextCross) && !existsSync(paths.cross))
      throw new AuthorityError(
        'ca_not_a_ca',
        `${certPath}: may have no CA below it, so it cannot vouch for the next root; when every agent has the new bundle, add --force`,
      )
    await linkNew(certPath, paths.oldCert)
    await linkNew(keyPath, paths.oldKey)
    if (existsSync(paths.nextCross)) await rename(paths.nextCross, paths.cross)
    // Renamed over, the files are never missing: with both gone, a start would make a new CA.
    await rename(paths.nextKey, keyPath)
  }
  await rename(paths.nextCert, certPath)
  await settle(certPath)
}

/** Takes the old root out of the bundle and deletes its key. Throws AuthorityError. */
export async function retire(place: AuthorityPaths): Promise<void> {
  const paths = rotationPaths(place)
  await refuseUnchangeable(place)
  if (!existsSync(paths.oldCert)) throw new AuthorityError('ca_missing', `${paths.oldCert}: there is no old root to retire`)
  if (existsSync(paths.nextCert))
    throw new AuthorityError('ca_key_mismatch', 'an activation was broken off; go on with `iron-proxy ca rotate --activate`')
  for (const path of [paths.oldKey, paths.cross, paths.oldCert]) await rm(path, { force: true })
  await settle(place.certPath)
}

async function refuseUnchangeable({ certPath, keyPath }: AuthorityPaths): Promise<void> {
  for (const path of [certPath, keyPath]) await refuseReadOnly(path)
}

function refuseIfThere(path: string, message: string): void {
  if (existsSync(path)) throw new AuthorityError('ca_exists', `${path}: ${message}`)
}

/** A second name for a file; the same name given before a crash is kept. */
async function linkNew(path: string, other: string): Promise<void> {
  try {
    await link(path, other)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Has the directory's new names on disk. */
async function settle(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
