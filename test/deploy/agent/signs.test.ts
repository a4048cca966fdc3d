import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { run, type Run } from '../../kit/clients.ts'
import { makeRig, missing, scripts, type Rig } from './rig.ts'

let rig: Rig

beforeEach(async () => {
  rig = await makeRig({ CHANNEL_PLUGIN: 'plugin:matrix@chat', HARNESS: 'claude-code' })
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const skip = missing.length > 0
const because = skip ? ` (skipped: no ${missing.join(', ')})` : ''

/** Runs lines of bash with the parts of the entrypoint. */
const parts = (lines: string, ...args: readonly string[]): Promise<Run> =>
  run(
    'bash',
    [
      '-c',
      `here=$1; for part in lib state harness prompts transcript signs; do . "$here/$part.sh"; done; shift; ${lines}`,
      'bash',
      scripts,
      ...args,
    ],
    { env: rig.env },
  )
/** An agent that has run for so many seconds. */
const agent = (age: number): Promise<string> =>
  rig.write('home/.agent/agent', `state=running\npid=4711\nstart=1\nsince=${Math.floor(Date.now() / 1000) - age}\n`)

describe.skipIf(skip)(`signs.sh${because}`, () => {
  const question = ' Do you want to go on?\n ❯ 1. Yes\n   2. No\n\n Enter to confirm · Esc to cancel'

  test.each([
    ['a question that stands', question, 100, 1000, 'a question waits on the screen: Do you want to go on?'],
    ['a question that has just come', question, 3, 1000, ''],
    ['an idle screen', '❯ \n ⏵⏵ bypass permissions on', 100, 10, ''],
    [
      'a channel that is refused',
      'Channels are not currently available',
      0,
      10,
      'the channel plugin:matrix@chat is not loaded: Channels are not currently available',
    ],
    [
      'a plugin that is missing',
      '  plugin:matrix · plugin not installed',
      0,
      10,
      'the channel plugin:matrix@chat is not loaded: plugin not installed',
    ],
    [
      'a remote control that failed',
      'Remote Control failed: no answer',
      0,
      10,
      'remote control is not connected: Remote Control failed: no answer',
    ],
    ['the same words, of an agent that is no longer young', 'Remote Control failed', 0, 1000, ''],
  ])('%s', async (_case, screen, quiet, age, words) => {
    await agent(age)
    expect(await parts('signs "$1" "$2"', screen, String(quiet))).toMatchObject({
      code: 0,
      stderr: '',
      stdout: words && `${words}\n`,
    })
  })

  test.each([
    [{ status: 'idle' }, 130, 'remote control is not connected\n'],
    [{ status: 'idle' }, 20, ''],
    [{ status: 'idle', bridgeSessionId: 'cse_1' }, 130, ''],
    // An older version does not say.
    [{ kind: 'interactive' }, 130, ''],
    [{ status: 'waiting', bridgeSessionId: 'cse_1' }, 130, 'a question waits on the screen: May I?\n'],
  ])('of a session that says %j after %i s', async (session, age, words) => {
    await agent(age)
    await rig.write('home/.claude/sessions/4711.json', JSON.stringify(session))
    expect(await parts('signs "$1" 100', 'May I?')).toMatchObject({ code: 0, stderr: '', stdout: words })
  })

  test('are said once, keep what a young agent showed, and end with the next start', async () => {
    await agent(10)
    const done = await parts(
      'write_signs "$1" 0; write_signs idle 0; write_signs "$1" 0; cat "$SIGNS_FILE"',
      'plugin not installed',
    )
    expect(done.stdout).toBe('the channel plugin:matrix@chat is not loaded: plugin not installed\n')
    expect(done.stderr.match(/WARN/g)).toHaveLength(1)
    await rig.write('home/.agent/agent', 'state=running\nstart=2\n')
    expect((await parts('signs_of=1; write_signs idle 0; [ ! -e "$SIGNS_FILE" ]')).code).toBe(0)
  })

  test('heartbeat.sh says them, and fails for them when asked whether the agent is ready', async () => {
    await rig.write('home/.agent/heartbeat', '')
    await rig.write('home/.agent/signs', 'a question waits on the screen: May I?\n')
    expect(await rig.script('heartbeat.sh')).toMatchObject({ code: 0, stderr: expect.stringContaining('May I?') })
    expect(await rig.script('heartbeat.sh', ['--ready'])).toMatchObject({ code: 1, stderr: expect.stringContaining('May I?') })
    await rm(`${rig.home}/.agent/signs`)
    expect(await rig.script('heartbeat.sh', ['--ready', '60'])).toMatchObject({ code: 0, stderr: '' })
  })
})

describe.skipIf(skip)(`prompts.tsv${because}`, () => {
  test.each([
    ['*', '2.1.332', true],
    ['-2.1.115', '2.1.99', true],
    ['-2.1.115', '2.1.115', true],
    ['-2.1.115', '2.1.116', false],
    ['2.1.116-', '2.1.332', true],
    ['2.1.116-', '2.1.9', false],
    ['2.1.9-2.1.116', '2.1.20', true],
    ['-2.1.115', '', false],
  ])('versions %s of a CLI that is "%s"', async (versions, version, meant) => {
    await rig.fake('claude', `echo "${version} (Claude Code)"`)
    expect((await parts('meant_for "$1"', versions)).code === 0).toBe(meant)
  })

  test('has four fields in each row', () => {
    const rows = readFileSync(`${scripts}/prompts.tsv`, 'utf8')
      .split('\n')
      .filter((row) => row !== '' && !row.startsWith('#'))
    for (const row of rows) expect(row.split('\t'), row).toHaveLength(4)
    for (const row of rows) expect(row.split('\t')[1]).toMatch(/^(?:\*|[\d.]*-[\d.]*)$/)
  })
})
