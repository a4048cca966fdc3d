/** The proxy of this user: where its files are, and how it is started when none runs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatIssue } from '#config/issue.ts'
import { adminSocket } from '#config/settings-schema.ts'
import type { Settings } from '#config/settings-schema.ts'
import { loadSettings } from '#config/settings.ts'
import { askAdmin } from '../admin.ts'
import { exit, CommandFailure, line } from '../command.ts'
import type { Input, Terminal } from '../command.ts'
import { homeInstance, standardFile } from '../settings.ts'

export interface Instance {
  readonly settings: Settings
  /** Working directory of the proxy. */
  readonly directory: string
  /** What `iron-proxy run` is called with. */
  readonly flags: Readonly<Record<string, string>>
}

/** Doors that a proxy of ours opens: on their usual ports where those are free. */
const doors = ['dns', 'http', 'https', 'proxy', 'metrics'] as const

/**
 * The settings of the working directory, where it has some or a proxy runs there; else those of `~/.iron-proxy`, whose files are all in
 * there. `undefined`: they are wrong, and that has been said.
 */
export async function findInstance({ values }: Input, terminal: Terminal): Promise<Instance | undefined> {
  const { config, ...given } = values
  const flags = Object.fromEntries(Object.entries(given).filter((each): each is [string, string] => typeof each[1] === 'string'))
  const { env } = terminal
  const file = typeof config === 'string' ? config : standardFile(terminal)
  const here = file !== undefined || env['IRON_PROXY_CONFIG'] !== undefined || existsSync(adminSocket)
  const directory = here ? '.' : homeInstance(terminal)
  const own = here ? {} : homeFlags(directory, env)
  const all = { ...own, ...flags }
  const { settings, issues } = await loadSettings({ file, env, flags: all })
  for (const issue of issues) line(terminal.stderr, formatIssue(issue))
  if (!settings) return undefined
  return { settings, directory, flags: { ...(file !== undefined && { config: file }), ...all } }
}

/** Flags for what the environment does not say. */
function homeFlags(directory: string, env: Terminal['env']): Readonly<Record<string, string>> {
  const flags = {
    policies: 'policies',
    'ca-cert': 'certs/ca.crt',
    'ca-key': 'certs/ca.key',
    state: 'state.db',
    'seal-key': 'seal.key',
    'redis-journal': 'shared.journal',
    'audit-file': 'audit.jsonl',
  }
  const placed = Object.entries(flags).map(([flag, name]) => [flag, join(directory, name)] as const)
  const fixed = [
    ['listen-admin', `unix:${join(directory, 'admin.sock')}`],
    ['audit-stdout', 'false'],
    // No one routes here: a lame duck would only answer the next sandbox.
    ['shutdown-lame-duck', '0'],
    ['shutdown-deadline', '5'],
  ] as const
  return Object.fromEntries(
    [...placed, ...fixed].filter(([flag]) => env[`IRON_PROXY_${flag.toUpperCase().replaceAll('-', '_')}`] === undefined),
  )
}

/** What `GET /v1/status` says, as far as it is needed here. */
export interface Status {
  readonly agents: readonly { readonly id: string }[]
  /** `address:port` by door. */
  readonly listen: Readonly<Record<string, string>>
}

export async function statusOf({ settings }: Instance): Promise<Status | undefined> {
  const answer = await askAdmin(settings, 'GET', '/v1/status', undefined, 5_000)
  if (answer.status === 0) return undefined
  if (answer.status !== 200)
    throw new CommandFailure('the proxy that runs does not let us in; see `adminToken`', exit.unavailable)
  return answer.body as Status
}

/** A proxy that was started here, to be ended with the sandbox, unless others need it by then. */
export interface StartedProxy {
  readonly end: () => Promise<void>
}

/** Milliseconds until a proxy must answer. */
const patience = 20_000

/** Starts a proxy that outlives us, with its log in a file, and waits until it answers. */
export async function startProxy(
  instance: Instance,
  { self, env }: Terminal,
): Promise<{ readonly status: Status; readonly started: StartedProxy }> {
  const { directory, flags, settings } = instance
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const logFile = join(directory, directory === '.' ? 'iron-proxy.log' : 'proxy.log')
  const free = await freeDoors(settings, flags)
  const given = Object.entries({ ...free, ...flags }).map(([name, value]) => `--${name}=${value}`)
  await using log = await open(logFile, 'a', 0o600)
  const [node, script] = self
  const child = spawn(
    node,
    [script, 'run', ...given].filter((word) => word !== ''),
    {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { ...env },
    },
  )
  const ended = once(child, 'exit').then(
    () => true,
    () => true,
  )
  child.unref()
  // The next sandbox must find it running or gone.
  const end = async () => {
    child.kill('SIGTERM')
    await Promise.race([ended, sleep(patience)])
  }
  const until = performance.now() + patience
  while (performance.now() < until) {
    const status = await statusOf(instance)
    if (status) return { status, started: { end } }
    if (await Promise.race([ended, sleep(40, false)])) break
  }
  const said = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n').slice(-3).join('\n')
  throw new CommandFailure(`the proxy does not start; ${logFile} ends with:\n${said}`, exit.unavailable)
}

/** Another place for each door whose usual port is taken; a port that someone chose is left to fail. */
async function freeDoors(settings: Settings, flags: Instance['flags']): Promise<Readonly<Record<string, string>>> {
  const free: Record<string, string> = {}
  for (const door of doors) {
    const place = settings.listen[door]
    const flag = `listen-${door}`
    if (place === 'off' || flags[flag] !== undefined || flags['config'] !== undefined) continue
    if (!(await isFree(place.port))) free[flag] = String(await anyPort())
  }
  return free
}

async function isFree(port: number): Promise<boolean> {
  return (await listened(port)) !== undefined
}

async function anyPort(): Promise<number> {
  return (await listened(0)) ?? 0
}

function listened(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
    })
  })
}
