/**
 * sandbox/ answers: how does a program on this machine become an agent? `instance.ts` is the user's proxy, `policy.ts` and `login.ts` what
 * it needs to know, `stage.ts` the files of one sandbox, `summary.ts` what came of it. The wall itself is src/sandbox.
 */
import { realpath } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Settings } from '#config/settings-schema.ts'
import { runProgram } from '#sandbox/inside.ts'
import { findProgram } from '#sandbox/program.ts'
import { startRelay } from '#sandbox/relay.ts'
import type { ProxyDoor } from '#sandbox/tunnel.ts'
import { findWall } from '#sandbox/wall.ts'
import type { WallKind } from '#sandbox/wall.ts'
import { askAdmin, toldByAdmin } from '../admin.ts'
import { exit, CommandFailure, line, UsageError } from '../command.ts'
import type { Command, Terminal } from '../command.ts'
import { settingHelp, settingOptions } from '../settings.ts'
import { findInstance, startProxy, statusOf } from './instance.ts'
import type { Instance, StartedProxy, Status } from './instance.ts'
import { ensureLogin } from './login.ts'
import { ensurePolicy, exampleText, standingOf } from './policy.ts'
import { profiles } from './profiles.ts'
import type { Login, Profile } from './profiles.ts'
import { refuseWork, setStage } from './stage.ts'
import { Collector, summaryText } from './summary.ts'

/** Seconds: the longest a run may live. */
const longest = 86_400

/** US dollars that a sandbox may spend, where nothing else is said. */
const usualBudget = 10

export const sandbox: Command = {
  name: 'sandbox',
  summary: 'run a program as an agent: no network but the proxy, no secret and nothing of yours but this folder',
  usage: '[options] -- PROGRAM [arguments]',
  options: {
    ...settingOptions,
    agent: { type: 'string', short: 'a' },
    dir: { type: 'string' },
    read: { type: 'string' },
    env: { type: 'string' },
    usd: { type: 'string' },
    tokens: { type: 'string' },
    wall: { type: 'string' },
    'take-login': { type: 'boolean' },
    quiet: { type: 'boolean', short: 'q' },
  },
  help: {
    ...settingHelp,
    agent: 'the agent of the policy to run as (default: the program’s own, from its example)',
    dir: 'the folder to work in (default: this one)',
    read: 'files and folders that the program may read besides, with commas',
    env: 'variables that it gets, NAME or NAME=VALUE, with commas; a live key is refused',
    usd: `what this sandbox may spend, in US dollars (default ${usualBudget}; 0: nothing that costs)`,
    tokens: 'the same in weighted tokens',
    wall: 'bubblewrap or unshare (default: the first that works)',
    'take-login': 'move the login that is in your home into the vault, without a question',
    quiet: 'no summary at the end',
  },
  words: Number.POSITIVE_INFINITY,
  settings: ['config', 'policies', 'listen-admin'],
  examples: [
    'iron-proxy sandbox -- claude',
    'iron-proxy sandbox --usd 2 -- codex exec "fix the tests"',
    'iron-proxy sandbox -- bash',
  ],
  async run(input, terminal) {
    const { agent, dir, read, env, usd, tokens, wall, quiet, 'take-login': take, ...values } = input.values
    const [name, ...args] = input.positionals
    if (name === undefined) throw new UsageError('name the program behind --, as in `iron-proxy sandbox -- bash`')
    const budget = budgetOf({ usd, tokens })
    const program = basename(name)
    const home = await realpath(terminal.env['HOME'] ?? '/')
    const work = await realpath(String(dir ?? '.')).catch(() => {
      throw new CommandFailure(`${String(dir)}: there is no such folder`, exit.noInput)
    })
    const instance = await findInstance({ positionals: [], values }, terminal)
    if (!instance) return exit.config
    const around = { path: terminal.env['PATH'] ?? '', home, cwd: work }
    const found = await findProgram(name, around)
    if (!found) throw new CommandFailure(`there is no program ${JSON.stringify(name)} in PATH`, exit.noInput)
    const kind = await wallFor(wall, around.path)
    await refuseWork(work, home, instance)

    const profile = Object.hasOwn(profiles, program) ? profiles[program] : undefined
    const ensured = await ensurePolicy(instance.settings.policies, profile, textOf(agent), (file) =>
      line(terminal.stderr, `iron-proxy: wrote the policy of ${program}, ${file}; edit it while it runs`),
    )
    const login =
      profile && ensured.agent === profile.agent
        ? await ensureLogin(profile, instance.settings.policies, { terminal, take: take === true, program })
        : undefined
    const standing = standingOf(ensured.policy, ensured.agent)
    const { status, started } = await runningProxy(instance, ensured.agent, terminal)
    const minted = await mint(instance.settings, ensured.agent, `sandbox ${program}`, budget)
    const proxy: ProxyDoor = {
      ...placeOf(status, 'proxy'),
      from: standing.from,
      username: minted.proxy.username,
      password: minted.proxy.password,
    }
    const collector = new Collector(instance.settings, minted.run_id)
    let code: number
    try {
      await using stage = await setStage({
        terminal,
        kind,
        work,
        instance,
        program: found,
        args,
        stubs: stubsOf(profile, login, minted.stubs, work),
        extra: { read: listOf(read), env: listOf(env) },
      })
      const dns = standing.alone && status.listen['dns'] !== undefined ? placeOf(status, 'dns') : undefined
      await using relay = await startRelay({ directory: stage.sockets, proxy, dns })
      code = await withSignals(terminal, (signal) => runProgram(stage.command, { signal }))
      await relay[Symbol.asyncDispose]()
    } finally {
      await askAdmin(instance.settings, 'DELETE', `/v1/runs/${minted.run_id}`)
      const records = await collector.stop()
      if (!quiet)
        line(terminal.stderr, `\niron-proxy sandbox: ${program} as ${ensured.agent}\n${summaryText(records, ensured.agent)}`)
      await endProxy(instance, started)
    }
    return code
  },
}

function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function listOf(value: string | boolean | undefined): readonly string[] {
  return typeof value === 'string' ? value.split(',').filter((each) => each !== '') : []
}

function budgetOf(values: { readonly usd: string | boolean | undefined; readonly tokens: string | boolean | undefined }): object {
  const numbers = Object.entries(values).flatMap(([name, text]) => {
    if (text === undefined) return []
    const value = Number(text)
    if (text === '' || !Number.isFinite(value) || value < 0) throw new UsageError(`--${name} takes a number that is not negative`)
    return [[name, value] as const]
  })
  return numbers.length === 0 ? { usd: usualBudget } : Object.fromEntries(numbers)
}

async function wallFor(asked: string | boolean | undefined, path: string): Promise<WallKind> {
  if (asked !== undefined && asked !== 'bubblewrap' && asked !== 'unshare')
    throw new UsageError('--wall takes bubblewrap or unshare')
  const found = await findWall(asked, { PATH: path })
  if (typeof found === 'string') return found
  throw new CommandFailure(`no wall can be built here, so nothing is started: ${found.refusal}`, exit.noPermission)
}

/** The running proxy, which knows the agent; started, or asked to read its policies again, where it does not. */
async function runningProxy(
  instance: Instance,
  agent: string,
  terminal: Terminal,
): Promise<{ readonly status: Status; readonly started: StartedProxy | undefined }> {
  const status = await statusOf(instance)
  if (!status) {
    const made = await startProxy(instance, terminal)
    if (made.status.listen['proxy'] === undefined)
      throw new CommandFailure('listen.proxy is off, and a sandbox speaks through it', exit.config)
    return made
  }
  if (!status.agents.some(({ id }) => id === agent)) await toldByAdmin(instance.settings, 'POST', '/v1/reload')
  if (status.listen['proxy'] === undefined)
    throw new CommandFailure('listen.proxy is off, and a sandbox speaks through it', exit.config)
  return { status, started: undefined }
}

interface MintedRun {
  readonly run_id: string
  readonly proxy: { readonly username: string; readonly password: string }
  readonly stubs: Readonly<Record<string, string>>
}

function mint(settings: Settings, agent: string, label: string, budget: object): Promise<MintedRun> {
  const plain = label.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 120)
  return toldByAdmin(settings, 'POST', '/v1/runs', { agent, ttl_seconds: longest, label: plain, budget }) as Promise<MintedRun>
}

function stubsOf(profile: Profile | undefined, login: Login | undefined, stubs: MintedRun['stubs'], work: string) {
  const stub = login && stubs[login.credential]
  return profile && login && stub !== undefined
    ? profile.stubs(login, stub, work, (name) => exampleText(`stubs/${name}`))
    : { files: {}, env: {} }
}

function placeOf({ listen }: Status, door: string): { readonly address: string; readonly port: number } {
  const [, v6, v4, port = ''] = /^(?:\[(.+)\]|(.+)):(\d+)$/.exec(listen[door] ?? '') ?? []
  const unspecified: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
  const address = v6 ?? v4 ?? ''
  return { address: unspecified[address] ?? address, port: Number(port) }
}

/** Ctrl-C is the program's; whoever ends us ends it. */
async function withSignals(terminal: Terminal, act: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const stop = new AbortController()
  const offs = [
    terminal.onSignal('SIGINT', () => {}),
    terminal.onSignal('SIGTERM', () => stop.abort()),
    terminal.onSignal('SIGHUP', () => stop.abort()),
  ]
  try {
    return await act(stop.signal)
  } finally {
    for (const off of offs) off()
  }
}

/** Another sandbox may need the proxy that we started: then it stays, and serves the next ones too. */
async function endProxy({ settings }: Instance, started: StartedProxy | undefined): Promise<void> {
  if (!started) return
  const runs = await askAdmin(settings, 'GET', '/v1/runs', undefined, 5_000)
  const others = runs.status === 200 && Array.isArray(runs.body) && runs.body.length > 0
  if (!others) await started.end()
}
