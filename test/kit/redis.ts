import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePorts } from './child.ts'
import { within } from './within.ts'

/** Whether Debian's redis-server is here; a test that needs it states this as the reason of its skip. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0

/** A real server on loopback, in a folder of its own. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number
  readonly url: string
  readonly folder: string
  /** A client for the test itself. */
  readonly admin: Redis
  /** Kills it; what it had is gone unless it was told to keep it. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
}

/** Starts one, with what else its configuration says, `['--appendonly', 'yes']`, and the file of it where it must have one. */
export async function startRedis(
  options: readonly string[] = [],
  clientOptions: object = {},
  file?: string,
): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'redis-'))
  const [port = 0] = await freePorts(1)
  let child: ReturnType<typeof spawn> | undefined
  const admin = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => 50, ...clientOptions })
  admin.on('error', () => {})

  async function start(): Promise<void> {
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--repl-diskless-sync-delay', '0']
    const args = file === undefined ? [...place, '--save', '', ...options] : [file, ...place, ...options]
    child = spawn('redis-server', args, { stdio: 'ignore' })
    const up = await within(async () => (await admin.ping().catch(() => '')) === 'PONG')
    if (up === undefined) throw new Error('redis-server did not start')
  }

  async function kill(): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}/0`,
    folder,
    admin,
    kill,
    start,
    [Symbol.asyncDispose]: async () => {
      admin.disconnect()
      await kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    },
  }
}
