/** Where the authority lives: two files, the key for nobody else's eyes, and never written over. */
import { constants, type Stats } from 'node:fs'
import { access, mkdir, open, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileFault } from '#base/file-fault.ts'
import { openToOthers } from '#base/file-mode.ts'
import { Secret } from '#base/secret.ts'
import { AuthorityError, openAuthority, type Authority } from './authority.ts'

export interface AuthorityPaths {
  readonly certPath: string
  readonly keyPath: string
}

/**
 * Writes a new authority: directories are made, the key gets mode 0600, and both files are on disk before this
 * resolves. Throws AuthorityError `ca_exists` when either file is there already; what is there stays as it is.
 */
export async function writeAuthority(
  made: { readonly certPem: string; readonly keyPem: Secret },
  paths: AuthorityPaths,
): Promise<void> {
  await writeNew(paths.keyPath, made.keyPem.expose(), 0o600)
  try {
    await writeNew(paths.certPath, made.certPem, 0o644)
  } catch (error) {
    await unlink(paths.keyPath)
    throw error
  }
}

/**
 * Reads the authority. The key must be private, as `openToOthers` judges it; `uid` is the user we run as. Throws
 * AuthorityError.
 */
export async function loadAuthority(
  paths: AuthorityPaths & { readonly now: number; readonly uid?: number | undefined },
): Promise<Authority> {
  const { certPath, keyPath, now, uid } = paths
  const certPem = await readWhole(certPath)
  const keyPem = await readWhole(keyPath, (found) => {
    const mode = openToOthers(found, uid)
    if (mode === undefined) return
    throw new AuthorityError('ca_key_mode', `${keyPath}: mode ${mode} lets others at the CA key; run \`chmod 600 ${keyPath}\``)
  })
  return openAuthority({ certPem, keyPem: new Secret('CA key', keyPem), now }, { cert: certPath, key: keyPath })
}

/** Asks before anything is changed, so that no change is broken off. Throws AuthorityError `ca_read_only`. */
export async function refuseReadOnly(path: string): Promise<void> {
  try {
    await access(dirname(path), constants.W_OK)
  } catch (error) {
    // What is not there at all is told by whoever looks for a file in it.
    if (noWriting.has(errno(error))) throw readOnly(path, error)
  }
}

const noWriting: ReadonlySet<string | undefined> = new Set(['EROFS', 'EACCES', 'EPERM'])

function readOnly(path: string, cause: unknown): AuthorityError {
  const advice = 'a Secret that is mounted is changed where it comes from: do this in the directory it was made of, then apply it'
  return new AuthorityError('ca_read_only', `${dirname(path)}: is read-only for us (${errno(cause)}); ${advice}`, { cause })
}

/** Writes a file that must not be there yet, and has it on disk. Throws AuthorityError. */
export async function writeNew(path: string, text: string, mode: number): Promise<void> {
  let file: FileHandle
  try {
    await mkdir(dirname(path), { recursive: true })
    file = await open(path, 'wx', mode)
  } catch (error) {
    // `mkdir` gives EEXIST too, when a file stands where the directory should.
    const there = errno(error) === 'EEXIST' && (error as NodeJS.ErrnoException).syscall === 'open'
    if (there) throw new AuthorityError('ca_exists', `${path}: is there already and is never written over; move it away first`)
    if (noWriting.has(errno(error))) throw readOnly(path, error)
    throw new AuthorityError('ca_unreadable', `${path}: cannot be made: ${fileFault(error)}`, { cause: error })
  }
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** `inspect` judges the file that was opened, not whatever the path names a moment later. Throws AuthorityError. */
export async function readWhole(path: string, inspect: (found: Stats) => void = () => {}): Promise<string> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    inspect(await file.stat())
    return await file.readFile('utf8')
  } catch (error) {
    if (error instanceof AuthorityError) throw error
    if (errno(error) === 'ENOENT')
      throw new AuthorityError('ca_missing', `${path}: is not there; make a CA with \`iron-proxy ca init\``)
    throw new AuthorityError('ca_unreadable', `${path}: cannot be read: ${fileFault(error)}`, { cause: error })
  } finally {
    await file?.close()
  }
}

function errno(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
