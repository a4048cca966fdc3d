import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, statSync, utimesSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { listen } from '../../kit/listen.ts'
import { makeRig, missing, scripts, until, type Rig } from './rig.ts'

let rig: Rig
let logFile: string
const started: ChildProcess[] = []

beforeEach(async () => {
  rig = await makeRig({ BACKOFF_FIRST: '4', BACKOFF_MOST: '32', TICK_SECONDS: '0.3' })
  logFile = join(rig.folder, 'log')
})

afterEach(async () => {
  for (const child of started.splice(0)) {
    child.kill('SIGTERM')
    // Ends what is left of it too: the loop has a group of its own.
    await until('its end', () => child.exitCode !== null || child.signalCode !== null, 30_000)
  }
  await rig[Symbol.asyncDispose]()
})

/** Starts a script that runs on; what it says goes to a file, as a container's log does. */
function start(name: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const log = openSync(logFile, 'a')
  const child = spawn(join(scripts, name), { cwd: rig.workspace, env: { ...rig.env, ...env }, stdio: ['ignore', log, log] })
  closeSync(log)
  started.push(child)
  return child
}

const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '')
const says = (text: string | RegExp, timeout?: number): Promise<boolean> =>
  until(`${String(text)} in ${log()}`, () => (typeof text === 'string' ? log().includes(text) : text.test(log())), timeout).catch(
    (error: unknown) => {
      throw new Error(`${String(error)}\n${log()}`)
    },
  )
const state = (name: string): string => {
  const file = join(rig.home, '.agent/agent')
  return existsSync(file) ? (new RegExp(`^${name}=(.*)$`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? '') : ''
}

describe.skipIf(missing.length > 0)(`agent-loop.sh${missing.length > 0 ? ` (skipped: no ${missing.join(', ')})` : ''}`, () => {
  test.each(['agent-loop.sh', 'claude-loop.sh'])(
    '%s starts a failing agent again, each time after a longer wait, and says why',
    async (name) => {
      await rig.fake('claude', 'exit 7')
      const loop = start(name)
      for (const [turn, [least, most]] of [
        [4, 7],
        [8, 15],
        [16, 31],
        [32, 63],
        [32, 63],
      ].entries()) {
        await until(`wait ${turn + 1}`, () => log().split('starts again in').length === turn + 2)
        const waits = [...log().matchAll(/starts again in (\d+) s/g)].map(([, seconds]) => Number(seconds))
        expect(waits[turn]).toBeGreaterThanOrEqual(least ?? 0)
        expect(waits[turn]).toBeLessThanOrEqual(most ?? 0)
        expect(state('state')).toBe('waiting')
        loop.kill('SIGUSR1')
      }
      expect(log()).toContain('claude-code failed with exit 7 after 0 s')
      expect(readFileSync(join(rig.home, '.agent/exit'), 'utf8')).toMatch(/^code=7\nat=\d+\nlasted=\d+\nstart=\d\n$/)
      loop.kill('SIGTERM')
      await until('its end', () => loop.exitCode === 0)
      expect(log()).toContain('stopped')
    },
  )

  test('an agent that was well for long enough is started soon again', async () => {
    await rig.fake('claude', '[ ! -e slow ] || sleep 1.2; exit 1')
    const loop = start('agent-loop.sh', { HEALTHY_SECONDS: '1' })
    for (const wait of [1, 2, 3]) {
      if (wait === 3) await rig.write('workspace/slow', '')
      await until(`wait ${wait}`, () => log().split('starts again in').length > wait)
      loop.kill('SIGUSR1')
    }
    await until('the fourth wait', () => log().split('starts again in').length > 4)
    const waits = [...log().matchAll(/starts again in (\d+) s/g)].map(([, seconds]) => Number(seconds))
    expect(waits.at(-1)).toBeLessThan(8)
  })

  test('survives a program that is missing, a signal, a login that is needed and stubs that cannot be put back', async () => {
    const server = createServer((_request, response) =>
      response.end(JSON.stringify([{ id: 'claude', generation: 3, needsLogin: 'invalid_grant' }])),
    )
    const port = await listen(server)
    await rig.fake('claude', 'kill -SEGV $$')
    const loop = start('agent-loop.sh', { STUBS_DIR: '/nowhere', IRON_PROXY_ADMIN_URL: `http://127.0.0.1:${port}` })
    await says('stubs could not be put back')
    await says('claude needs a login: invalid_grant')
    await says('claude-code was ended by SIGSEGV')
    server.close()
    loop.kill('SIGUSR1')
    await says('the proxy did not answer')
    loop.kill('SIGTERM')
    await until('its end', () => loop.exitCode === 0)

    start('agent-loop.sh', { HARNESS: 'custom', AGENT_COMMAND: 'no-such-program' })
    await says('custom could not be run (exit 127)')
    await says(/custom could not be run[^]*starts again in/)
  })

  test('puts the stubs back before each start, whatever the agent wrote in their place', async () => {
    const real = `sk-ant-oat01-${randomBytes(16).toString('hex')}`
    await rig.fake(
      'claude',
      `grep -o '"accessToken": "[^"]*"' ~/.claude/.credentials.json; echo '{"claudeAiOauth":{"accessToken":"${real}"}}' >~/.claude/.credentials.json; exit 1`,
    )
    const loop = start('agent-loop.sh')
    await says('starts again')
    loop.kill('SIGUSR1')
    await until('the second start', () => log().split('starts again').length > 2)
    expect(log().match(/"accessToken": "access-token-stub"/g)?.length).toBe(2)
    expect(log()).toMatch(/did not hold the stubs: replaced; it held an Anthropic key/)
    expect(log()).not.toContain(real)
  })

  test('goes on with the last conversation of its folder, when there is one', async () => {
    await rig.fake('claude', 'echo "given: $*"; exit 1')
    const loop = start('agent-loop.sh', { CHANNEL_PLUGIN: 'plugin:chat@example' })
    await says(
      'given: --dangerously-load-development-channels plugin:chat@example --remote-control testbot --permission-mode bypassPermissions',
    )
    await rig.write(`home/.claude/projects/${rig.workspace.replaceAll(/[^A-Za-z0-9]/g, '-')}/one.jsonl`, '{}')
    await says('starts again')
    loop.kill('SIGUSR1')
    await says('given: --continue --dangerously')
  })
})

describe.skipIf(missing.length > 0)(`entrypoint.sh${missing.length > 0 ? ` (skipped: no ${missing.join(', ')})` : ''}`, () => {
  const heartbeat = (seconds = '60') => rig.script('heartbeat.sh', [seconds])

  test('accepts each question of a starting agent once, and leaves one that stays on the screen alone', async () => {
    await rig.fake(
      'claude',
      `
      [ "$1" != --version ] || { echo '2.1.9 (Claude Code)'; exit; }
      ask() { printf '\\n\\n%s\\n' "$1"; IFS= read -rsn"$2" key; printf '%s:%q\\n' "$3" "$key" >>"$HOME/keys"; }
      ask 'Choose the text style that looks best' 1 theme
      ask 'Do you trust the files in this folder?' 1 trust
      ask 'WARNING: running in Bypass Permissions mode. 2. Yes, I accept' 4 bypass
      ask 'I am using this for local development' 1 channels
      ask 'Resuming the full session will use your limits' 1 resume
      read -rt 3 -n 1 && echo extra >>"$HOME/keys"
      echo done >>"$HOME/keys"; sleep 60`,
    )
    start('entrypoint.sh')
    await until(
      'all answers',
      () => existsSync(join(rig.home, 'keys')) && readFileSync(join(rig.home, 'keys'), 'utf8').includes('done'),
      20_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)} ${log()}`)
    })
    const keys = readFileSync(join(rig.home, 'keys'), 'utf8').trim().split('\n')
    expect(keys).toEqual(["theme:''", "trust:''", expect.stringMatching(/^bypass:\$'\\E\[B/), "channels:''", "resume:''", 'done'])
    for (const name of ['theme', 'trust', 'bypass', 'channels', 'resume'])
      expect(log().split(`accepts the question "${name}"`)).toHaveLength(2)
  })

  test('answers nobody’s words once the agent is no longer young', async () => {
    await rig.fake(
      'claude',
      `echo 'somebody wrote: Resuming the full session'; read -rt 3 -n 1 && echo pressed >>"$HOME/keys"; echo over; sleep 60`,
    )
    start('entrypoint.sh', { PROMPT_SECONDS: '-1' })
    await says('[agent] over')
    expect(existsSync(join(rig.home, 'keys'))).toBe(false)
  })

  test('writes both panes to the log, with the run they belong to, and beats while the agent lives', async () => {
    await rig.fake(
      'claude',
      `echo '{"run_id": "7f2c"}' >~/.claude/run.json; printf '\\033[32mhello\\033[0m from the agent\\n'; sleep 60`,
    )
    expect((await heartbeat()).code).toBe(1)
    start('entrypoint.sh')
    await says('[agent][run=7f2c] hello from the agent')
    await until('a heartbeat', async () => (await heartbeat()).code === 0)
    utimesSync(join(rig.home, '.agent/heartbeat'), new Date(), new Date(Date.now() - 100_000))
    await until('the next', async () => (await heartbeat()).code === 0)
  })

  test('ends with the agent’s loop: there is no live session without one', async () => {
    await rig.fake('claude', 'sleep 60')
    const entry = start('entrypoint.sh')
    await until('the agent', () => state('state') === 'running')
    const pid = Number(readFileSync(`/proc/${state('pid')}/stat`, 'utf8').split(' ')[3])
    process.kill(pid, 'SIGKILL')
    process.kill(Number(state('pid')), 'SIGKILL')
    await until('its end', () => entry.exitCode === 1)
    expect(log()).toMatch(/the agent's loop has ended with status/)
  })

  test('ends an agent that hangs, and the loop starts another', async () => {
    await rig.fake('claude', 'sleep 600')
    start('entrypoint.sh', { HUNG_SECONDS: '1' })
    await says('the agent hangs: its screen has not changed for 1 s')
    await says('claude-code was ended by SIGTERM')
    await until('the wait', () => state('state') === 'waiting')
  })

  test('an agent whose turn failed lives on and its run ends; one that hangs at work is ended', async () => {
    const transcript = join(rig.folder, 'session.jsonl')
    const failed = { type: 'assistant', isApiErrorMessage: true, message: { content: [], stop_reason: 'stop_sequence' } }
    await rig.fake(
      'claude',
      `
      [ ! -e ~/.claude/run.json ] || echo stale >>~/seen
      echo at work; echo '{"run_id": "7f2c", "transcript": "${transcript}"}' >~/.claude/run.json; sleep 0.1
      if [ ! -e ~/failed ]; then echo '{"type": "user", "message": {"content": "go"}}' >'${transcript}'; touch ~/failed
      else echo '${JSON.stringify(failed)}' >'${transcript}'; fi
      sleep 600`,
    )
    await rig.write('home/.claude/run.json', '{"run_id": "of the last container"}')
    // Longer to the end of the run than to the verdict: the second agent has to outlive the verdict first.
    start('entrypoint.sh', { HUNG_SECONDS: '3', SETTLED_SECONDS: '5', BACKOFF_FIRST: '1' })
    await says('the agent hangs')
    await until('the second start', () => state('start') === '2')
    await until('its run', () => existsSync(join(rig.home, '.claude/run.json')))
    await until('the end of its run', () => !existsSync(join(rig.home, '.claude/run.json')))
    expect(state('state')).toBe('running')
    expect(log().split('the agent hangs')).toHaveLength(2)
    expect(existsSync(join(rig.home, 'seen'))).toBe(false)
  })

  test('TERM ends the agent gracefully, and waits no longer than that takes', async () => {
    await rig.fake('claude', `trap 'echo saved >"$HOME/saved"; exit 0' TERM; while :; do sleep 0.1; done`)
    const entry = start('entrypoint.sh', { STOP_SECONDS: '30' })
    await until('the agent', () => state('state') === 'running')
    await until('a heartbeat', () => existsSync(join(rig.home, '.agent/heartbeat')))
    const before = Date.now()
    entry.kill('SIGTERM')
    await until('its end', () => entry.exitCode === 0)
    expect(Date.now() - before).toBeLessThan(15_000)
    expect(statSync(join(rig.home, 'saved')).size).toBeGreaterThan(0)
    expect(log()).toMatch(/stops; the agent has 30 s[^]*claude-code ended by itself/)
  })

  test('an agent that ignores TERM is killed when its time is up', async () => {
    await rig.fake('claude', `trap '' TERM; echo up; while :; do sleep 0.1; done`)
    const entry = start('entrypoint.sh', { STOP_SECONDS: '1' })
    await says('[agent] up')
    const pid = Number(state('pid'))
    entry.kill('SIGTERM')
    await until('its end', () => entry.exitCode === 0)
    expect(log()).toContain('did not end within 1 s and is killed')
    expect(() => process.kill(pid, 0)).toThrow()
  })
})
