/** What every scenario stands on: a folder, certificates, the built load, the upstreams, and processes that end with it. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '#ca/authority.ts'
import { writeAuthority } from '#ca/files.ts'
import type { Proxy } from './contenders/types.ts'
import { eventsHost, host, manyHosts, uploadHost, zone } from './names.ts'
import { family } from './processes.ts'
import { startUpstreams } from './upstreams.ts'
import { testAuthority } from '../test/kit/ca.ts'

/** What every scenario stands on. */
export interface Stage extends AsyncDisposable {
  readonly folder: string
  /** The CA that proxies sign with: certificate, key, and both in one file. */
  readonly ca: { readonly cert: string; readonly key: string; readonly both: string; readonly pem: string }
  /** The root of the upstreams. */
  readonly upstreamCa: string
  /** The programs of `load/`. */
  readonly load: string
  readonly sink: string
  /** A file with the bytes of one request. */
  request(text: string): string
  /** A process on a core of its own; ended with the stage at the latest. */
  spawn(core: string, command: readonly string[], options?: SpawnOptions): Running
  /** The same for a proxy that says that it is ready by listening. */
  proxy(core: string, port: number, command: readonly string[], options?: Omit<SpawnOptions, 'port'>): Promise<Proxy>
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Where it says that it is ready. */
  readonly port?: number
  readonly at?: string
}

export interface Running {
  readonly pid: number
  readonly ready: Promise<void>
  /** Ends it at once, or with a signal that lets it say good-bye. */
  stop(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

export async function makeStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'bench-'))
  // Peers that give up their rights must still reach their files.
  spawnSync('chmod', ['755', folder])
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const running = new Set<Running>()
  stack.defer(async () => void (await Promise.all([...running].map((each) => each.stop()))))

  function start(core: string, command: readonly string[], { env = {}, port, at = '127.0.0.1' }: SpawnOptions = {}): Running {
    const child = spawn('taskset', ['-c', core, ...command], {
      env: { PATH: `${process.env['PATH']}:/usr/sbin`, HOME: folder, TMPDIR: folder, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const each: Running = {
      pid: child.pid ?? 0,
      ready: port === undefined ? Promise.resolve() : answers(at, port, child),
      stop: async (signal = 'SIGKILL') => {
        await end(child, signal)
        running.delete(each)
      },
    }
    running.add(each)
    return each
  }

  const build = (name: string): string => {
    const source = join(import.meta.dirname, 'load', `${name}.c`)
    const { status, stderr } = spawnSync('cc', ['-O2', '-o', join(folder, name), source, '-lssl', '-lcrypto'])
    if (status !== 0) throw new Error(`${source} cannot be built: ${stderr?.toString() ?? 'there is no cc'}`)
    return join(folder, name)
  }
  const [load, sink] = [build('load'), build('sink')]

  const made = createAuthority({ commonName: 'Bench CA', days: 7, now: Date.now() })
  const [certPath, keyPath] = [join(folder, 'ca.crt'), join(folder, 'ca.key')]
  await writeAuthority(made, { certPath, keyPath })
  const ca = {
    cert: certPath,
    key: keyPath,
    both: file('ca.pem', readFileSync(keyPath, 'utf8') + made.certPem),
    pem: made.certPem,
  }
  const leaf = testAuthority().leaf(host, eventsHost, uploadHost, ...Array.from({ length: manyHosts }, (_, i) => `h${i}.${zone}`))
  const files = { cert: file('upstream.crt', leaf.certPem), key: file('upstream.key', leaf.keyPem) }
  await startUpstreams({ folder, sink, spawn: start }, files)
  let requests = 0
  const owned = stack.move()
  return {
    folder,
    ca,
    upstreamCa: file('upstream-ca.crt', testAuthority().certPem),
    load,
    sink,
    request: (text) => file(`request-${++requests}`, text),
    spawn: start,
    async proxy(core, port, command, options) {
      const began = performance.now()
      const running = start(core, command, { ...options, port })
      try {
        await running.ready
      } catch (error) {
        await running.stop()
        throw error
      }
      return { port, pid: running.pid, startedIn: performance.now() - began, stop: (signal) => running.stop(signal) }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Until something listens there. */
async function answers(host: string, port: number, child: ChildProcess): Promise<void> {
  let said = ''
  child.stderr?.on('data', (text: Buffer) => (said = `${said}${text.toString()}`.slice(-2000)))
  for (let attempt = 0; attempt < 1500; attempt += 1) {
    const socket = createConnection({ host, port })
    const connected = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (connected) return
    if (child.exitCode !== null) break
    await new Promise((go) => setTimeout(go, 10))
  }
  throw new Error(`${child.spawnargs.slice(3).join(' ')} does not listen: ${said}`)
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  for (const pid of family(child.pid ?? 0).toReversed()) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has gone with its parent.
    }
  }
  await exited
}
