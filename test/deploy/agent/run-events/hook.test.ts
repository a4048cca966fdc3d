import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventSchema } from '#observe/event-schema.ts'
import { runEventSchema } from '#timeline/run-event.ts'
import { dispatched } from '../../../kit/dispatched.ts'
import { hasNats, startNats } from '../../../kit/nats.ts'
import { makeRig, missing } from '../rig.ts'

const skip = missing.length > 0
const because = skip ? ` (skipped: no ${missing.join(', ')})` : ''

describe.skipIf(skip)(`the hooks of an agent${because}`, () => {
  it('leave one line an event in file and log, which runs show reads', async () => {
    await using rig = await makeRig()
    const key = `sk-ant-api03-${randomBytes(24).toString('hex')}`
    const log = await rig.write('log', '')
    const hook = (what: string, said: object) =>
      rig.script('run-hook.sh', [what], { env: { RUN_LOG: log }, input: JSON.stringify(said) })
    expect(await hook('prompt', { hook_event_name: 'UserPromptSubmit', session_id: 's', prompt: 'fix it' })).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(
      await hook('tool', { hook_event_name: 'PostToolUse', tool_name: 'Bash', tool_input: { command: `curl -H x:${key}` } }),
    ).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await hook('stop', { hook_event_name: 'Stop' })).toMatchObject({ code: 0, stderr: '' })
    // Between runs nothing is written down.
    expect(await hook('tool', { hook_event_name: 'PostToolUse', tool_name: 'Read' })).toMatchObject({ code: 0 })
    const text = await rig.read('.agent/run-events.jsonl')
    expect(text).not.toContain(key)
    const events = text
      .trimEnd()
      .split('\n')
      .map((line) => runEventSchema.parse(JSON.parse(line)))
    expect(events.map(({ event }) => event)).toEqual(['started', 'prompt', 'command', 'outcome'])
    expect(new Set(events.map(({ runId, agent }) => `${agent} ${runId}`)).size).toBe(1)
    const { readFile } = await import('node:fs/promises')
    expect(await readFile(log, 'utf8')).toBe(text)
    const run = events[0]?.runId ?? ''
    const audit = await rig.write('audit.jsonl', '')
    const shown = await dispatched(['runs', 'show', run, '--events', join(rig.home, '.agent/run-events.jsonl'), '--file', audit])
    expect(shown.stdout).toContain(`run ${run} of testbot: done`)
    expect(shown.stdout).toContain('command  curl -H x:[an Anthropic key]')
  })

  it.each([
    ['codex', '.codex/hooks.json', ['UserPromptSubmit', 'PostToolUse', 'Stop']],
    ['gemini-cli', '.gemini/settings.json', ['BeforeAgent', 'AfterTool', 'AfterAgent']],
  ])('are installed for %s, beside what is there', async (harness, file, names) => {
    await using rig = await makeRig({ HARNESS: harness, IRON_PROXY_CA_CRT: '' })
    await rig.write(`home/${file}`, '{"theme": "dark", "hooks": {"Own": []}}')
    for (let turn = 0; turn < 2; turn += 1) await rig.script('setup.sh')
    const settings = (await rig.json(file)) as { theme: string; hooks: Record<string, unknown> }
    expect(settings.theme).toBe('dark')
    expect(Object.keys(settings.hooks).toSorted()).toEqual([...names, 'Own'].toSorted())
  })

  it.skipIf(!hasNats)('publish each event once, and do no harm where NATS is gone', async () => {
    await using rig = await makeRig()
    await using nats = await startNats()
    const connection = await nats.connect()
    const { jetstreamManager } = await import('@nats-io/jetstream')
    await (await jetstreamManager(connection)).streams.add({ name: 'SWARM_EVENTS', subjects: ['swarm.events.*'] })
    await connection.close()
    const hook = (what: string, said: object) =>
      rig.script('run-hook.sh', [what], { env: { NATS_URL: nats.url }, input: JSON.stringify(said) })
    await hook('prompt', { hook_event_name: 'UserPromptSubmit', prompt: 'hi' })
    const messages = await nats.messages('SWARM_EVENTS')
    expect(messages.map(({ subject }) => subject)).toEqual(['swarm.events.run_started', 'swarm.events.run_prompt'])
    for (const { body } of messages) {
      expect(runEventSchema.safeParse(body['data']).success).toBe(true)
      expect(Object.keys(body)).toEqual(Object.keys(eventSchema.shape))
    }
    const run = runEventSchema.parse(messages[0]?.body['data']).runId
    const shown = await dispatched(['runs', 'show', run, '--nats', '--audit-nats-url', nats.url])
    expect(shown.stdout).toContain('prompt   hi')
    await nats.kill()
    const late = await hook('stop', { hook_event_name: 'Stop' })
    expect(late.code).toBe(0)
    expect(late.stderr).toContain('run-events: nats://')
  })
})
