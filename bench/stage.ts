/**
 * Where the benchmarks happen: a network of their own with nothing but loopback (MTU 1500, as a wire has), names that lead to it,
 * one core for the proxy and one for load and upstream, and the upstreams themselves.
 */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '#ca/authority.ts'
import { writeAuthority } from '#ca/files.ts'
import type { Proxy } from './contenders/types.ts'
import { testAuthority } from '../test/kit/ca.ts'

/** The host whose replies are asked for, and the zone of as many more as a scenario wants. */
export const host = 'api.bench.test'
export const eventsHost = 'events.bench.test'
export const zone = 'many.bench.test'
export const manyHosts = 512

export const cores = availableParallelism() > 1 ? { proxy: '0', load: '1', both: '0,1' } : { proxy: '0', load: '0', both: '0' }

/** Where they are: nginx, and what takes time. Both listen on 443, since some proxies go where the Host header says. */
export const upstream = '127.0.0.9'
export const events = '127.0.0.10'

/** What every scenario stands on. */
export interface Stage extends AsyncDisposable {
  readonly folder: string
  /** The CA that proxies sign with: certificate, key, and both in one file. */
  readonly ca: { readonly cert: string; readonly key: string; readonly both: string; readonly pem: string }
  /** The root of the upstreams. */
  readonly upstreamCa: string
  readonly load: string
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

/**
 * Runs this again inside network and mount namespaces, unless it is there already. `false`: that has been done, with its exit code.
 * Signals go on to what runs inside, which tidies up.
 */
export async function enter(): Promise<boolean> {
  if (process.env['IRON_PROXY_BENCH'] === 'inside') return true
  const hosts = join(tmpdir(), `bench-hosts-${process.pid}`)
  const many = Array.from({ length: manyHosts }, (_, i) => `${upstream} h${i}.${zone}`)
  writeFileSync(hosts, ['127.0.0.1 localhost', `${upstream} ${host}`, `${events} ${eventsHost}`, ...many, ''].join('\n'))
  const inside = 'mount --bind "$1" /etc/hosts && ip link set lo mtu 1500 up && shift && exec taskset -c "$0" "$@"'
  const rights = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const child = spawn('unshare', ['--net', '--mount', ...rights, 'sh', '-c', inside, cores.load, hosts, ...process.argv], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, IRON_PROXY_BENCH: 'inside' },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    process.exitCode = code ?? 1
  } catch (error) {
    throw new Error('the bench needs unshare, mount, ip and taskset (util-linux, iproute2), and Linux', { cause: error })
  } finally {
    rmSync(hosts, { force: true })
  }
  return false
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

  const load = join(folder, 'load')
  const built = spawnSync('cc', ['-O2', '-o', load, join(import.meta.dirname, 'load', 'load.c'), '-lssl', '-lcrypto'])
  if (built.status !== 0) throw new Error(`the load cannot be built: ${built.stderr?.toString() ?? 'there is no cc'}`)

  const made = createAuthority({ commonName: 'Bench CA', days: 7, now: Date.now() })
  const [certPath, keyPath] = [join(folder, 'ca.crt'), join(folder, 'ca.key')]
  await writeAuthority(made, { certPath, keyPath })
  const ca = {
    cert: certPath,
    key: keyPath,
    both: file('ca.pem', readFileSync(keyPath, 'utf8') + made.certPem),
    pem: made.certPem,
  }
  const leaf = testAuthority().leaf(host, eventsHost, ...Array.from({ length: manyHosts }, (_, i) => `h${i}.${zone}`))
  const cert = file('upstream.crt', leaf.certPem)
  const key = file('upstream.key', leaf.keyPem)
  mkdirSync(join(folder, 'file'))
  for (const [name, size] of [
    ['1m', 2 ** 20],
    ['10m', 10 * 2 ** 20],
    ['400m', 400 * 2 ** 20],
    ['1g', 2 ** 30],
  ] as const) {
    writeFileSync(join(folder, 'file', name), '')
    truncateSync(join(folder, 'file', name), size)
  }
  const nginx = start(
    cores.load,
    ['nginx', '-e', join(folder, 'nginx.err'), '-c', file('upstream.conf', upstreamConf({ folder, cert, key }))],
    { at: upstream, port: 443 },
  )
  const server = start(cores.load, [process.execPath, join(import.meta.dirname, 'events.ts'), cert, key, events], {
    at: events,
    port: 443,
  })
  await Promise.all([nginx.ready, server.ready])
  let requests = 0
  const owned = stack.move()
  return {
    folder,
    ca,
    upstreamCa: file('upstream-ca.crt', testAuthority().certPem),
    load,
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

/** How many connections the upstream has taken so far. */
export async function taken(): Promise<number> {
  const told = await (await fetch(`http://${upstream}/`, { headers: { connection: 'close' } })).text()
  return Number(/requests\s+(\d+)/.exec(told)?.[1] ?? Number.NaN)
}

/** A process and all it has started. */
export function family(pid: number): readonly number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
  return [pid, ...children.flatMap((child) => family(Number(child)))]
}

/** Resident memory of a process and all it has started, in MiB; what has ended meanwhile has none. */
export function memory(pid: number): number {
  return family(pid).reduce((sum, each) => sum + Number(/^VmRSS:\s+(\d+)/m.exec(proc(each, 'status'))?.[1] ?? 0) / 1024, 0)
}

/** CPU seconds that a process and all it has started have used: proc(5), `stat`, in ticks of 10 ms. */
export function cpuSeconds(pid: number): number {
  return family(pid).reduce((sum, each) => {
    const fields = proc(each, 'stat')
      .replace(/^.*\) /, '')
      .split(' ')
    return sum + (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
  }, 0)
}

/** How many threads they have together. */
export function threads(pid: number): number {
  return family(pid).reduce((sum, each) => sum + Number(/^Threads:\s+(\d+)/m.exec(proc(each, 'status'))?.[1] ?? 0), 0)
}

function proc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}

function parentOf(pid: string): number {
  return Number(
    proc(Number(pid), 'stat')
      .replace(/^.*\) \S /, '')
      .split(' ')[0],
  )
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

function upstreamConf({ folder, cert, key }: { readonly folder: string; readonly cert: string; readonly key: string }): string {
  const json = JSON.stringify({ data: 'x'.repeat(1012) })
  const completion = JSON.stringify({
    id: 'c',
    object: 'chat.completion',
    model: 'gpt-5',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'x'.repeat(760) } }],
    usage: { prompt_tokens: 50, completion_tokens: 200, total_tokens: 250 },
  })
  const location = (path: string, body: string) => `location ${path} { default_type application/json; return 200 '${body}'; }`
  return `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${folder}/upstream.pid;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300; client_max_body_size 0; sendfile on; tcp_nodelay on;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `${each}_temp_path ${folder}/${each};`).join(' ')}
  ssl_certificate ${cert}; ssl_certificate_key ${key}; ssl_session_cache shared:s:10m;
  server { listen ${upstream}:80; location / { stub_status; } }
  server {
    listen ${upstream}:443 ssl backlog=16384;
    ${location('/json', json)}
    ${location('/v1/chat/completions', completion)}
    location /echo { return 200 '$http_authorization'; }
    location /file/ { root ${folder}; }
    location / { return 200 'ok'; }
  }
}
`
}
