/** The admin door as a unix socket: made with mode 0600, taken over from a proxy that is gone, and never from one that runs. */
import { chmod, lstat, mkdir, mkdtemp, rename, rm, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Server } from 'node:net'
import { basename, dirname, join } from 'node:path'

/** A listening socket in the file system. */
export interface HeldSocket {
  /** Removes the file, unless another process has put its own there. */
  release(): Promise<void>
}

/**
 * Makes `server` listen on the socket at `path`. The socket is made in a directory that only we may enter and moved into place with
 * its mode: at no moment may anyone else connect. Rejects with EADDRINUSE where a process answers there, and with the system's error
 * where the file cannot be made.
 */
export async function listenOnSocket(server: Server, path: string): Promise<HeldSocket> {
  const directory = dirname(path)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await refuseTaken(path)
  const own = await mkdtemp(join(directory, '.'))
  const made = join(own, 's')
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', reject)
    server.listen({ path: made }, resolve)
    await promise
    server.off('error', reject)
    await chmod(made, 0o600)
    const { ino } = await lstat(made)
    await rename(made, path)
    return { release: () => removeOurs(path, ino) }
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}

async function refuseTaken(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (!found) return
  if (!found.isSocket())
    throw new Error(`listen.admin: ${path} is a file and no socket; move ${basename(path)} away, or name another place`)
  if (await answers(path))
    throw Object.assign(new Error(`listen.admin: another proxy answers on unix:${path}`), {
      code: 'EADDRINUSE',
      address: `unix:${path}`,
    })
}

/** A socket whose process is gone refuses every connection. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const end = (taken: boolean) => {
      socket.destroy()
      resolve(taken)
    }
    socket
      .once('connect', () => end(true))
      .once('error', (error: NodeJS.ErrnoException) => end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
}

async function removeOurs(path: string, ino: number): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.ino === ino) await unlink(path).catch(() => {})
}
