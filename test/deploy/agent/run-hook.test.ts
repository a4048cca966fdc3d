import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startAdmin } from './admin.ts'
import { makeRig, missing, scripts, until, type Rig } from './rig.ts'

let rig: Rig

beforeEach(async () => {
  rig = await makeRig()
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const skip = missing.length > 0
const because = skip ? ` (skipped: no ${missing.join(', ')})` : ''

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

describe.skipIf(skip)(`run-hook.sh${because}`, () => {
  const runId = async (): Promise<string> => ((await rig.json('.claude/run.json')) as { run_id: string }).run_id

  test('gives each waking message an id of its own, tells the proxy, and the agent for its reports', async () => {
    const token = randomBytes(12).toString('hex')
    const file = await rig.write('token', `${token}\n`)
    await using admin = await startAdmin(() => [200, {}])
    const env = { IRON_PROXY_ADMIN_URL: admin.url, IRON_PROXY_ADMIN_TOKEN_FILE: file }
    const ids: string[] = []
    for (const session of ['a', 'b']) {
      const done = await rig.script('run-hook.sh', ['prompt'], {
        env,
        input: JSON.stringify({ session_id: session, prompt: 'hello' }),
      })
      expect(done).toMatchObject({ code: 0, stderr: '' })
      ids.push(await runId())
      expect(done.stdout).toContain(ids.at(-1))
      expect(await rig.json('.claude/run.json')).toMatchObject({
        agent: 'testbot',
        session_id: session,
        since: expect.any(String),
      })
    }
    expect(new Set(ids).size).toBe(2)
    for (const id of ids) expect(id).toMatch(uuid)
    expect((await rig.script('run-hook.sh', ['stop'], { env, input: '{}' })).code).toBe(0)
    expect(existsSync(join(rig.home, '.claude/run.json'))).toBe(false)
    expect(admin.asked).toEqual(
      [...ids, null].map((run_id) => ({
        method: 'POST',
        path: '/v1/runs/bind',
        body: { agent: 'testbot', run_id },
        authorization: `Bearer ${token}`,
      })),
    )
  })

  test.each([
    ['a proxy that is gone', { IRON_PROXY_ADMIN_URL: 'http://127.0.0.1:9' }, 'the proxy was not told of run'],
    ['a watcher that is gone', { RUN_WATCHED: '1' }, 'nobody watches to tell the proxy of run'],
  ])('lets a message through, loudly, with %s', async (_case, env, words) => {
    const done = await rig.script('run-hook.sh', ['prompt'], { env, input: 'no JSON' })
    expect(done.code).toBe(0)
    expect(done.stderr).toContain(words)
    expect(await runId()).toMatch(uuid)
  })

  test('waits only for a watcher that is there', async () => {
    const env = { RUN_WATCHED: '1' }
    await rig.write('home/.agent/watching', '')
    // Within its three seconds a watcher counts as there.
    expect((await rig.script('run-hook.sh', ['prompt'], { env, input: '{}' })).stderr).toContain('within 5 s')
    const before = Date.now()
    expect((await rig.script('run-hook.sh', ['stop'], { env, input: '{}' })).stderr).toContain('nobody watches')
    expect(Date.now() - before).toBeLessThan(4000)
  })

  test('leaves telling to a watcher that holds the token in a container of its own', async () => {
    await using admin = await startAdmin(() => [200, {}])
    const watcher = spawn(join(scripts, 'run-hook.sh'), ['watch'], {
      env: { ...rig.env, IRON_PROXY_ADMIN_URL: admin.url },
      stdio: 'ignore',
    })
    try {
      await until('the watcher', () => existsSync(join(rig.home, '.agent/watching')))
      for (let turn = 0; turn < 2; turn += 1) {
        const done = await rig.script('run-hook.sh', ['prompt'], { env: { RUN_WATCHED: '1' }, input: '{}' })
        expect(done).toMatchObject({ code: 0, stderr: '' })
        // The message begins only when the proxy knows.
        expect(admin.asked.at(-1)?.body).toEqual({ agent: 'testbot', run_id: await runId() })
        expect(await rig.script('run-hook.sh', ['stop'], { env: { RUN_WATCHED: '1' } })).toMatchObject({ code: 0, stderr: '' })
        expect(admin.asked.at(-1)?.body).toEqual({ agent: 'testbot', run_id: null })
      }
    } finally {
      watcher.kill('SIGTERM')
    }
    await until('its end', () => watcher.exitCode === 0)
  })
})
