import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { run } from '../../../kit/clients.ts'
import { makeRig, missing, scripts, until, type Rig } from '../rig.ts'

let rig: Rig
let supervisor: ChildProcess
let log: string

beforeEach(async () => {
  rig = await makeRig()
  await mkdir(join(rig.folder, 'secrets'))
  log = ''
})

afterEach(async () => {
  if (supervisor.exitCode === null) supervisor.kill('SIGTERM')
  await until('its end', () => supervisor.exitCode !== null, 30_000)
  await rig[Symbol.asyncDispose]()
})

const path = (name: string): string => join(rig.folder, name)

function start(config: string): void {
  writeFileSync(path('agents.toml'), config)
  const files = {
    config: 'agents.toml',
    'api-socket': 'api.sock',
    'secret-dir': 'secrets',
    'tmux-socket': 'tmux.sock',
    'state-dir': 'state',
  }
  const options = Object.entries(files).flatMap(([name, file]) => [`--${name}`, path(file)])
  supervisor = spawn(
    process.execPath,
    [join(scripts, 'supervisor/main.ts'), ...options, '--tick', '200ms', '--backoff', '200ms'],
    { cwd: rig.folder, env: rig.env, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  supervisor.stderr?.on('data', (bytes: Buffer) => (log += bytes.toString()))
}

interface Status {
  readonly name: string
  readonly running: boolean
  readonly restarts: number
  readonly state: string
  readonly exit_code?: number
  readonly error?: string
}

async function ask(url: string, method = 'GET'): Promise<{ readonly status: number; readonly body: unknown }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: unknown }>()
  request({ socketPath: path('api.sock'), path: url, method }, (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body: JSON.parse(body) as unknown }), reject)
  })
    .on('error', reject)
    .end()
  return promise
}

const agentIs = (name: string, want: Partial<Status>): Promise<Status> =>
  until(`${name} ${JSON.stringify(want)}`, async () => {
    const { status, body } = await ask(`/v1/agents/${name}`).catch(() => ({ status: 0, body: {} }))
    const found = body as Status
    return status === 200 && Object.entries(want).every(([key, value]) => found[key as keyof Status] === value) && found
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${log}`)
  })

const table = (name: string, lines: string): string =>
  `[[agents]]\nname = "${name}"\nharness = "custom"\nworkdir = "${rig.workspace}"\n${lines}\n`
const lives = (file: string): readonly string[] =>
  existsSync(path(file)) ? readFileSync(path(file), 'utf8').trim().split('\n') : []

describe.skipIf(missing.length > 0)(`agent-supervisor${missing.length > 0 ? ` (skipped: no ${missing.join(', ')})` : ''}`, () => {
  test('starts again by real exit codes, though the terminal stays open', async () => {
    await rig.fake('agent', `echo life >>"${path('lives-')}$AGENT_NAME"; exit "$CODE"`)
    start(
      [
        table('never', 'env = {CODE = "1"}'),
        table('well', 'restart = "on-failure"\nenv = {CODE = "0"}'),
        table('ill', 'restart = "on-failure"\nmax_restarts = 2\nenv = {CODE = "7"}'),
        table('ever', 'restart = "always"\nenv = {CODE = "0"}'),
      ].join(''),
    )
    expect(await agentIs('never', { state: 'failed' })).toMatchObject({
      running: false,
      restarts: 0,
      exit_code: 1,
      error: 'exit code 1',
    })
    expect(await agentIs('well', { state: 'ended' })).toMatchObject({ running: false, restarts: 0, exit_code: 0 })
    expect(await agentIs('ill', { state: 'failed' })).toMatchObject({
      restarts: 2,
      exit_code: 7,
      error: expect.stringContaining('2 times'),
    })
    await until('three lives', () => lives('lives-ever').length >= 3)
    expect([lives('lives-never').length, lives('lives-well').length, lives('lives-ill').length]).toEqual([1, 1, 3])
    // Whoever wants to look finds a shell.
    expect((await run('tmux', ['-S', path('tmux.sock'), 'has-session', '-t', '=never'])).code).toBe(0)
  })

  test('a second one on the same sockets is refused, and the first one’s agents live on', async () => {
    await rig.fake('agent', 'exec sleep 300')
    start(table('one', 'grace_period = "1s"') + table('lost', '').replace(rig.workspace, '/no/such/folder'))
    await agentIs('one', { state: 'running' })
    expect(await agentIs('lost', { state: 'failed' })).toMatchObject({
      error: expect.stringContaining('workdir: there is no folder /no/such/folder'),
    })
    expect(statSync(path('api.sock')).mode & 0o777).toBe(0o660)
    // One dash does for two.
    const paths = { 'api-socket': 'api.sock', 'tmux-socket': 'tmux.sock', 'state-dir': 'state' }
    for (const shared of Object.keys(paths)) {
      const own = Object.entries(paths).map(([name, file]) => `-${name}=${path(name === shared ? file : `other-${file}`)}`)
      const second = await run(process.execPath, [join(scripts, 'supervisor/main.ts'), ...own, '-debug'], { env: rig.env })
      expect(second).toMatchObject({ code: 75, stderr: expect.stringContaining('another supervisor is at work on') })
    }
    expect(await agentIs('one', { state: 'running' })).toMatchObject({ restarts: 0 })
    const help = await run(process.execPath, [join(scripts, 'supervisor/main.ts'), '--help'], { env: rig.env })
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('--tmux-socket (default: ') })
    writeFileSync(path('agents.toml'), table('lost', ''))
    await until('the end of one', async () => (await ask('/v1/agents/one')).status === 404)
    // Its environment holds secrets.
    expect(readdirSync(path('state')).filter((name) => name.startsWith('one.'))).toEqual([])
  })

  test('a timeout ends the agent and its children, whether they want to or not', async () => {
    await rig.fake('agent', `trap '' INT TERM; sleep 300 & echo $! >"${path('child')}"; while :; do sleep 0.1; done`)
    start(table('slow', 'timeout = "500ms"\ngrace_period = "400ms"\nrestart = "always"'))
    expect(await agentIs('slow', { state: 'timed_out' })).toMatchObject({
      running: false,
      error: 'timeout after 0.5 s',
      exit_code: 137,
    })
    const child = Number(readFileSync(path('child'), 'utf8'))
    await until(
      'the end of its child',
      () => !existsSync(`/proc/${child}`) || readFileSync(`/proc/${child}/stat`, 'utf8').includes(' Z '),
    )
  })

  test('stopping takes as long as the agent takes, and not its grace period', async () => {
    await rig.fake('agent', `trap 'echo saved >>"${path('saved')}"; exit 0' INT; while :; do sleep 0.1; done`)
    start(table('polite', 'grace_period = "60s"') + table('gone', 'grace_period = "60s"'))
    await agentIs('polite', { running: true })
    await agentIs('gone', { running: true })
    await sleep(500)
    const before = Date.now()
    writeFileSync(path('agents.toml'), table('polite', 'grace_period = "60s"'))
    await until('it is gone', async () => ((await ask('/v1/agents')).body as Status[]).length === 1)
    supervisor.kill('SIGTERM')
    await until('its end', () => supervisor.exitCode === 0)
    expect(Date.now() - before).toBeLessThan(15_000)
    expect(lives('saved')).toEqual(['saved', 'saved'])
  })

  test('tells agents apart whose names begin alike, and ends only the one that is meant', async () => {
    await rig.fake('agent', 'sleep 300')
    start(table('rev-0', '') + table('rev', ''))
    const kept = await agentIs('rev-0', { running: true })
    await agentIs('rev', { running: true })
    writeFileSync(path('agents.toml'), table('rev-0', ''))
    await until('one is gone', async () => (await ask('/v1/agents/rev')).status === 404)
    expect(await agentIs('rev-0', { running: true })).toEqual(kept)
  })

  test('starts anew for a change of config, prompt file or secret, and for nothing else', async () => {
    await rig.fake('agent', `echo "$COLOUR/$TOKEN/$*" >>"${path('lives')}"; sleep 300`)
    writeFileSync(path('prompt'), '  look around\n')
    writeFileSync(path('secrets/TOKEN'), 'stub-1\n')
    const config = (colour: string) => table('bot', `prompt_file = "${path('prompt')}"\nenv = {COLOUR = "${colour}"}`)
    start(config('red'))
    await until('the first life', () => lives('lives').length === 1)
    await sleep(500)
    expect(lives('lives')).toEqual(['red/stub-1/look around'])
    writeFileSync(path('prompt'), "it's changed")
    await until('the second', () => lives('lives').length === 2)
    writeFileSync(path('secrets/TOKEN'), 'stub-2')
    await until('the third', () => lives('lives').length === 3)
    writeFileSync(path('agents.toml'), config('blue'))
    await until('the fourth', () => lives('lives').length === 4)
    expect(lives('lives').slice(1)).toEqual(["red/stub-1/it's changed", "red/stub-2/it's changed", "blue/stub-2/it's changed"])
  })

  test('keeps what runs when the config, a prompt or the secrets cannot be read', async () => {
    await rig.fake('agent', `echo "$TOKEN" >>"${path('lives')}"; sleep 300`)
    writeFileSync(path('secrets/TOKEN'), 'stub-1')
    writeFileSync(path('prompt'), 'x')
    start(table('bot', `prompt_file = "${path('prompt')}"`))
    const before = await agentIs('bot', { running: true })
    // A directory cannot be read, by root neither.
    await rm(path('prompt'))
    await rm(path('secrets'), { recursive: true })
    writeFileSync(path('secrets'), 'no directory')
    await until('both are said', () => log.includes('the prompt') && log.includes('secrets cannot be read'))
    writeFileSync(path('agents.toml'), '[[agents]]\nharness = 3')
    await until('the config is said', () => log.includes('the config stays as it was: agents[0].harness: is a text'))
    await rm(path('agents.toml'))
    await until('its absence is said', () => log.includes('ENOENT'))
    await sleep(500)
    expect(await agentIs('bot', { running: true })).toEqual(before)
    expect(lives('lives')).toEqual(['stub-1'])
    expect(log.match(/secrets cannot be read/g)).toHaveLength(1)
  })

  test('answers in the words of its predecessor, to whoever may open its socket, and only to questions', async () => {
    await rig.fake('agent', 'sleep 300')
    writeFileSync(path('api.sock'), 'left behind')
    start(table('Rev', 'replicas = 2') + table('box', 'type = "sandboxed"'))
    await agentIs('rev-1', { running: true })
    expect(statSync(path('api.sock')).mode & 0o777).toBe(0o660)
    expect(await ask('/v1/health')).toEqual({ status: 200, body: { state: 'running', uptime_seconds: expect.any(Number) } })
    const native = { running: true, restarts: 0, type: 'native', state: 'running', since: expect.any(String) }
    await agentIs('rev-0', { running: true })
    expect((await ask('/v1/agents')).body).toEqual([
      { name: 'Rev-0', session: 'Rev-0', ...native },
      { name: 'Rev-1', session: 'Rev-1', ...native },
      {
        name: 'box',
        running: false,
        restarts: 0,
        type: 'sandboxed',
        state: 'failed',
        error: 'sandboxed not supported here',
        since: expect.any(String),
      },
    ])
    expect(await ask('/v1/agents/nobody')).toEqual({ status: 404, body: { error: 'agent not found' } })
    expect((await ask('/v1/agents', 'DELETE')).status).toBe(405)
  })

  test('shows no secret in arguments or files, and says what could not be started', async () => {
    const secret = randomBytes(12).toString('hex')
    await rig.fake('agent', `[ -n "$TOKEN" ] && echo got >"${path('got')}"; sleep 300`)
    await rig.fake('gemini', 'exec no-such-program')
    writeFileSync(path('secrets/TOKEN'), secret)
    start(table('bot', 'prompt = "hello"') + '[[agents]]\nname = "lost"\nharness = "gemini-cli"\nworkdir = "/"\n')
    await until('the secret', () => existsSync(path('got')))
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const lines = processes.map((pid) =>
      existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'latin1') : '',
    )
    expect(lines.filter((line) => line.includes(secret))).toEqual([])
    const files = readdirSync(path('state')).map((name) => readFileSync(join(path('state'), name), 'utf8'))
    expect(files.filter((file) => file.includes(secret))).toEqual([])
    expect(await agentIs('lost', { state: 'failed' })).toMatchObject({ exit_code: 127 })
  })

  test('an empty config stops no one; agents = [] stops all, and no agents are an empty list', async () => {
    await rig.fake('agent', 'sleep 300')
    start(table('bot', ''))
    await agentIs('bot', { running: true })
    writeFileSync(path('agents.toml'), '')
    await until('its words', () => log.includes('write agents = [] to stop them'))
    await agentIs('bot', { running: true, restarts: 0 })
    writeFileSync(path('agents.toml'), 'agents = []\n')
    await until('none', async () => JSON.stringify((await ask('/v1/agents')).body) === '[]')
  })
})

describe('called wrongly, agent-supervisor', () => {
  const call = (...args: readonly string[]) => run(join(scripts, 'agent-supervisor'), args)

  test.each([
    ['an option that there is not', ['--colour', 'red'], 64, /FATAL: Unknown option '--colour'[^]*--config \(default: \/etc\//],
    ['a duration that is none', ['--tick', 'soon'], 64, /FATAL: --tick: "soon" is no duration/],
    ['a place that is no directory', ['--state-dir', '/dev/null/state'], 70, /FATAL: .*\/dev\/null/],
  ])('says what is wrong with %s, in a line and not in a stack', async (_case, args, code, words) => {
    const done = await call(...args)
    expect(done.stderr).toMatch(words)
    expect(done.stderr).not.toMatch(/^ +at /m)
    expect(done.code).toBe(code)
  })
})

describe('the table of harnesses', () => {
  test.each([
    ['claude-code', 'claude|-p|do it|'],
    ['opencode', 'opencode|--prompt|do it|'],
    ['gemini-cli', 'gemini|do it|'],
    ['custom', 'agent|do it|'],
    ['codex', 'codex|exec|do it|'],
  ])('starts %s as %s', async (harness, expected) => {
    const code = `. "$1"/harness.sh; harness_command "$2"; printf '%s|' "\${command[@]}"`
    const started = await run('bash', ['-c', code, 'bash', scripts, 'do it'], { env: { HARNESS: harness } })
    expect(started.stdout).toBe(expected)
    const bare = await run('bash', ['-c', code, 'bash', scripts, ''], { env: { HARNESS: harness } })
    expect(bare.stdout).toBe(`${expected.split('|')[0]}|`)
  })
})
