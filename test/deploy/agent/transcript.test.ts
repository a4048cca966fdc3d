import { utimesSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../kit/clients.ts'
import { makeRig, missing, scripts, type Rig } from './rig.ts'

let rig: Rig
let transcript: string

beforeAll(async () => {
  rig = await makeRig()
  transcript = join(rig.folder, 'session.jsonl')
  await rig.write('home/.claude/run.json', JSON.stringify({ run_id: '7f2c', transcript }))
})

afterAll(async () => {
  await rig[Symbol.asyncDispose]()
})

const user = (content: unknown, more: object = {}) => ({ type: 'user', message: { role: 'user', content }, ...more })
const assistant = (reason: string | null, more: object = {}) => ({
  type: 'assistant',
  message: { role: 'assistant', content: [{ type: 'text', text: 'so' }], stop_reason: reason },
  ...more,
})
const apiError = assistant('stop_sequence', { isApiErrorMessage: true })
const interrupted = user([{ type: 'text', text: '[Request interrupted by user for tool use]' }])

const turnState = async (): Promise<string> => {
  const done = await run('bash', ['-c', `. "$1/lib.sh"; . "$1/state.sh"; . "$1/transcript.sh"; turn_state`, 'bash', scripts], {
    env: rig.env,
  })
  expect(done).toMatchObject({ code: 0, stderr: '' })
  return done.stdout.trim()
}

describe.skipIf(missing.length > 0)(`turn_state${missing.length > 0 ? ` (skipped: no ${missing.join(', ')})` : ''}`, () => {
  test.each<[string, readonly unknown[], string]>([
    ['a message that waits for its answer', [user('hello')], 'working'],
    ['a tool that runs', [user('hello'), assistant('tool_use')], 'working'],
    ['a tool that has answered', [assistant('tool_use'), user([{ type: 'tool_result', content: 'ok' }])], 'working'],
    ['words that are still coming', [user('hello'), assistant(null)], 'working'],
    ['an answer', [user('hello'), assistant('end_turn')], 'done'],
    ['an answer that was cut at its limit', [assistant('max_tokens')], 'done'],
    ['an answer and what the CLI adds to it', [assistant('end_turn'), { type: 'system', subtype: 'turn_duration' }], 'done'],
    ['an API error, such as a refusal for the budget', [user('hello'), apiError], 'failed'],
    ['an interrupt', [user('hello'), assistant('tool_use'), interrupted], 'interrupted'],
    ['an interrupt before the first word', [user('hello'), user('[Request interrupted by user]')], 'interrupted'],
    ['a new message after a failed turn', [apiError, user('again')], 'working'],
    ['words of a subagent', [assistant('tool_use'), assistant('end_turn', { isSidechain: true })], 'working'],
    ['a half-written last line', [assistant('end_turn'), '{"type": "assi'], 'done'],
    ['nothing that a turn is made of', [{ type: 'summary' }, 'null', '[]'], ''],
  ])('after %s', async (_case, lines, state) => {
    const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')
    await rig.write('session.jsonl', text)
    utimesSync(transcript, Date.now() / 1000 + 60, Date.now() / 1000 + 60)
    expect(await turnState()).toBe(state)
  })

  test('a message that is not in the transcript yet is worked on', async () => {
    await rig.write('session.jsonl', JSON.stringify(assistant('end_turn')))
    utimesSync(transcript, 1, 1)
    expect(await turnState()).toBe('working')
  })

  test.each([
    ['busy', 0, 'working'],
    ['waiting', 0, 'waiting'],
    // Interrupted before the first word: Claude Code takes the message back, and the transcript ends with it.
    ['idle', 60_000, 'idle'],
    ['idle', -60_000, 'working'],
  ])('takes the status %s of the session (%i ms after the message) before the transcript', async (status, since, state) => {
    await rig.write('session.jsonl', JSON.stringify(user('hello')))
    await rig.write('home/.agent/agent', 'state=running\npid=4711\n')
    const session = await rig.write(
      'home/.claude/sessions/4711.json',
      JSON.stringify({ pid: 4711, status, statusUpdatedAt: Date.now() + since }),
    )
    expect(await turnState()).toBe(state)
    await rm(session)
  })

  test('says nothing where there is no transcript', async () => {
    await rig.write('home/.claude/run.json', '{"run_id": "7f2c"}')
    expect(await turnState()).toBe('')
  })
})
