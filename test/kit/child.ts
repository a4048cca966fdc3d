/**
 * The product as a process of its own, for what only a process has: signals, an exit code, memory, settings in a file.
 * The upstreams stay with the test.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SettingsInput } from './app.ts'
import type { DoorPorts } from './doors.ts'
import { listen } from './listen.ts'
import type { Workspace } from './workspace.ts'

export interface ChildOptions {
  readonly files: Workspace
  /** Host name → port of its upstream on loopback. */
  readonly hosts: Readonly<Record<string, number>>
  /** Laid over the settings file that is made, key by key. */
  readonly settings?: SettingsInput
  readonly env?: Readonly<Record<string, string>>
  /** Another Node than the one of the tests. */
  readonly node?: string
  /** File that its process id is written into before it starts: `procs` of a cgroup. */
  readonly procs?: string
  /** Of one of several over the same files: it has settings, audit and journal of its own. */
  readonly name?: string
}

export interface Child extends AsyncDisposable {
  readonly pid: number
  readonly ports: DoorPorts & { readonly metrics: number; readonly admin: number }
  /** What it said on standard error so far: its greeting and its log. */
  readonly stderr: string
  /** Whether the greeting came; else it has exited. */
  readonly started: boolean
  /** Exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  kill(signal: NodeJS.Signals): void
}

/** Memory of a process in MiB, from Linux' /proc. */
export interface Memory {
  readonly now: number
  /** Since the start, or since `forgetPeak`. */
  readonly peak: number
}

const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const doors = ['http', 'https', 'proxy', 'metrics', 'admin'] as const

/** Starts `iron-proxy run` and waits for its greeting or its end. It is killed when disposed. */
export async function startChild(options: ChildOptions): Promise<Child> {
  for (let attempt = 1; ; attempt += 1) {
    const child = await startOnce(options)
    // Between the system's answer and our start, another test may have taken a port.
    if (attempt === 3 || !child.stderr.includes('EADDRINUSE')) return child
    await child[Symbol.asyncDispose]()
  }
}

async function startOnce(options: ChildOptions): Promise<Child> {
  const { files, hosts, settings = {}, env = {}, node = process.execPath, procs, name } = options
  const free = await freePorts(doors.length)
  const ports = Object.fromEntries(doors.map((door, i) => [door, free[i] ?? 0])) as Record<(typeof doors)[number], number>
  const written = {
    policies: files.policies,
    listen: { dns: 'off', ...ports, ...settings.listen },
    ca: { cert: files.caFile, key: files.caKeyFile },
    state: settings.state ?? join(files.folder, 'state.db'),
    sealKey: join(files.folder, 'seal.key'),
    upstream: {
      hosts: Object.fromEntries(Object.entries(hosts).map(([host, port]) => [host, `127.0.0.1:${port}`])),
      ca: [files.upstreamCaFile],
      allowPrivate: ['127.0.0.0/8'],
    },
    audit: { stdout: false, file: name === undefined ? files.auditFile : join(files.folder, `${name}.jsonl`) },
    whoami: settings.whoami ?? 'off',
    ...(settings.shutdown && { shutdown: settings.shutdown }),
    ...(settings.log && { log: settings.log }),
    ...(settings.replicas && { replicas: settings.replicas }),
    redis: { journal: join(files.folder, `${name ?? 'shared'}.journal`), ...settings.redis },
  }
  // JSON is YAML too.
  const settingsFile = join(files.folder, `${name ?? 'settings'}.yaml`)
  await writeFile(settingsFile, JSON.stringify(written))

  const run = [node, bin, 'run', '--config', settingsFile] as const
  const [command, ...args] = procs === undefined ? run : (['sh', '-c', 'echo $$ > "$0" && exec "$@"', procs, ...run] as const)
  const child = spawn(command, args, {
    cwd: files.folder,
    env: { PATH: process.env['PATH'] ?? '', HOME: files.folder, TMPDIR: tmpdir(), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  let started = false
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    started ||= stderr.includes('To point a client here')
    if (started) resolve()
  })
  const exited = once(child, 'exit').then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals)
  await Promise.race([ready, once(child, 'close')])
  return {
    pid: child.pid ?? 0,
    ports: { ...ports, redirect: 0 },
    get stderr() {
      return stderr
    },
    started,
    exited,
    kill: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Whether this system tells the memory of a process; a test that needs it states this as the reason of its skip. */
export const tellsMemory = process.platform === 'linux'

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024
  return { now: field('VmRSS'), peak: field('VmHWM') }
}

/** Starts the peak again at the present level (proc(5), `clear_refs`). */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** Settings cannot ask for any port, so ask the system first. Held all at once, no two are the same. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(servers.map((server) => listen(server)))
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
