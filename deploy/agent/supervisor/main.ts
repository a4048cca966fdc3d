#!/usr/bin/env node
/**
 * agent-supervisor: keeps the agents of a TOML file running, each in a terminal of its own. The files beside this one are its parts: config
 * and secrets say what should be, agent and restart are one agent's life, supervisor brings them together, api tells.
 */
import { execFileSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { serveApi } from './api.ts'
import { hold } from './lock.ts'
import { backoff } from './restart.ts'
import { Supervisor } from './supervisor.ts'
import { Tmux } from './tmux.ts'
import { durationOf } from './units.ts'

const options = {
  config: { type: 'string', default: '/etc/agent-supervisor/agents.toml' },
  'api-socket': { type: 'string', default: '/run/agent-supervisor/api.sock' },
  'secret-dir': { type: 'string', default: '/run/agent-supervisor/secrets' },
  'tmux-socket': { type: 'string', default: '/run/agent-supervisor/tmux.sock' },
  'state-dir': { type: 'string', default: '/run/agent-supervisor/state' },
  /** Between two looks at the files. */
  tick: { type: 'string', default: '5s' },
  /** Before the first restart. */
  backoff: { type: 'string', default: '3s' },
  /** Whose members may open the API's socket. */
  group: { type: 'string', default: '' },
  debug: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const scripts = join(import.meta.dirname, '..')
const log = (words: string): void => void process.stderr.write(`[agent-supervisor] ${words}\n`)

/** As of sysexits.h: wrong arguments, whatever else keeps it from running, and another supervisor in its place. */
const exit = { usage: 64, software: 70, busy: 75 } as const

function fail(code: number, words: string): never {
  log(`FATAL: ${words}`)
  process.exit(code)
}

const usage = `usage: agent-supervisor [options]\n${Object.entries(options)
  .map(([name, { type, default: value }]) => `  --${name}${type === 'boolean' ? '' : ` (default: ${value || 'none'})`}\n`)
  .join('')}`

function readOptions() {
  try {
    // One dash does for two, as in Go's flags.
    const args = process.argv.slice(2).map((word) => (/^-[a-z][a-z-]+(?:=|$)/.test(word) ? `-${word}` : word))
    return parseArgs({ args, options }).values
  } catch (error) {
    return fail(exit.usage, `${(error as Error).message}\n${usage}`)
  }
}

function duration(name: 'tick' | 'backoff'): number {
  return durationOf(values[name]) ?? fail(exit.usage, `--${name}: "${values[name]}" is no duration; write 5s, 2m or 1h`)
}

const values = readOptions()
if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}

/** The table of harnesses is the scripts'. */
function harnesses(): readonly string[] {
  const said = execFileSync('bash', ['-c', `. "$1"/harness.sh; printf %s "$harnesses"`, 'bash', scripts], { encoding: 'utf8' })
  return said.split(' ')
}

async function run(): Promise<void> {
  const tick = duration('tick')
  const tmux = new Tmux(values['tmux-socket'])
  const directory = values['state-dir']
  await using stack = new AsyncDisposableStack()
  const lock = await hold([values['tmux-socket'], values['api-socket'], directory]).catch((error: unknown) =>
    fail(exit.busy, (error as Error).message),
  )
  stack.use(lock)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  // What an earlier supervisor left running was started from files that nobody knows any more.
  await tmux.endAll()
  const supervisor = new Supervisor({
    config: values.config,
    secrets: values['secret-dir'],
    harnesses: harnesses(),
    tmux,
    directory,
    wrapper: join(scripts, 'run-agent.sh'),
    backoff: { ...backoff, first: duration('backoff') },
    log,
  })
  const api = await serveApi(values['api-socket'], {
    group: values.group,
    statuses: () => supervisor.statuses(),
    uptime: () => process.uptime(),
  })
  stack.use(api)
  const halt = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => halt.abort())
  if (values.debug) log(`options ${JSON.stringify(values)}`)
  log(`looks at ${values.config} every ${values.tick}`)
  while (!halt.signal.aborted) {
    await supervisor.reconcile()
    await sleep(tick, undefined, { signal: halt.signal }).catch(() => {})
  }
  log('stops all agents')
  await supervisor.stop()
}

await run().catch((error: unknown) => fail(exit.software, (error as Error).message))
