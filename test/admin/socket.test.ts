import { once } from 'node:events'
import { mkdtempDisposable, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { listenOnSocket } from '#admin/socket.ts'

const folder = () => mkdtempDisposable(join(tmpdir(), 'socket-'))

describe('a unix socket', () => {
  it('is made for its owner alone, in a directory of its owner, and is gone with its server', async () => {
    await using made = await folder()
    const path = join(made.path, 'below', 'admin.sock')
    const server = createServer()
    const held = await listenOnSocket(server, path)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(made.path, 'below'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(made.path, 'below'))).toEqual(['admin.sock'])
    await held.release()
    await once(server.close(), 'close')
    expect(await readdir(join(made.path, 'below'))).toEqual([])
  })

  it('is taken over from a process that is gone, and never from one that answers', async () => {
    await using made = await folder()
    const path = join(made.path, 'admin.sock')
    const [first, second] = [createServer(), createServer()]
    await listenOnSocket(first, path)
    await expect(listenOnSocket(second, path)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: `listen.admin: another proxy answers on unix:${path}`,
    })
    await once(first.close(), 'close')
    // The file is still there, as after a crash.
    expect((await stat(path)).isSocket()).toBe(true)
    const held = await listenOnSocket(second, path)
    await held.release()
    await once(second.close(), 'close')
  })

  it('leaves the socket of its successor alone', async () => {
    await using made = await folder()
    const path = join(made.path, 'admin.sock')
    const [first, second] = [createServer(), createServer()]
    const old = await listenOnSocket(first, path)
    await once(first.close(), 'close')
    const held = await listenOnSocket(second, path)
    await old.release()
    expect((await stat(path)).isSocket()).toBe(true)
    await held.release()
    await once(second.close(), 'close')
  })

  it('never replaces a file that is no socket', async () => {
    await using made = await folder()
    const path = join(made.path, 'admin.sock')
    await writeFile(path, 'notes')
    await expect(listenOnSocket(createServer(), path)).rejects.toThrow(/is a file and no socket; move admin\.sock away/)
  })
})
