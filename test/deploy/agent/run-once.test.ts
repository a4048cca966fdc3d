import { spawn } from 'node:child_process'
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

describe.skipIf(skip)(`run-once.sh${because}`, () => {
  const run = {
    run_id: '01JAAAAAAAAAAAAAAAAAAAAAAA',
    agent: 'testbot',
    proxy: { url: 'http://127.0.0.1:8080', username: 'run-1', password: 'secret-of-the-run' },
    stubs: { github: 'proxy-token-github-r1', claude: 'claude-access-stub-r1' },
    expires_at: '2030-01-01T00:00:00.000Z',
  }
  const start = () => startAdmin(({ method }) => (method === 'POST' ? [201, run] : [204]))

  test('mints, runs the prompt with the run’s own stubs and proxy, revokes, and answers the agent’s exit code', async () => {
    await using admin = await start()
    await rig.fake(
      'claude',
      'echo "$@"; env | grep -E "^(HTTPS_PROXY|GH_TOKEN|CLAUDE_CODE_OAUTH_TOKEN|IRON_PROXY_.*)="; cat "$HOME/.claude/run.json"; exit 3',
    )
    const env = {
      PROMPT: 'review it',
      RUN_HOSTS: 'api.github.com github.com',
      RUN_TOKENS: '5000',
      RUN_LABEL: 'review 88',
      IRON_PROXY_ADMIN_URL: admin.url,
    }
    const done = await rig.script('run-once.sh', [], { env })
    expect(done.code).toBe(3)
    expect(done.stdout).toContain('-p review it')
    expect(done.stdout).toContain('HTTPS_PROXY=http://run-1:secret-of-the-run@127.0.0.1:8080\n')
    expect(done.stdout).toContain('GH_TOKEN=proxy-token-github-r1\n')
    expect(done.stdout).toContain('CLAUDE_CODE_OAUTH_TOKEN=claude-access-stub-r1\n')
    expect(done.stdout).toContain(`"run_id": "${run.run_id}"`)
    expect(done.stdout).not.toContain('IRON_PROXY_')
    expect(done.stderr).toContain(`run ${run.run_id} is revoked`)
    expect(admin.asked.map(({ method, path, body }) => [method, path, body])).toEqual([
      [
        'POST',
        '/v1/runs',
        {
          agent: 'testbot',
          ttl_seconds: 900,
          label: 'review 88',
          hosts: ['api.github.com', 'github.com'],
          budget: { tokens: 5000 },
        },
      ],
      ['DELETE', `/v1/runs/${run.run_id}`, undefined],
    ])
    expect(existsSync(join(rig.home, '.agent/run-once.json'))).toBe(false)
  })

  test('revokes when it is told to stop, and when the agent’s time is up', async () => {
    await using admin = await start()
    await rig.fake('claude', 'echo up >"$HOME/up"; sleep 60')
    const env = { ...rig.env, PROMPT: 'x', IRON_PROXY_ADMIN_URL: admin.url }
    const child = spawn(join(scripts, 'run-once.sh'), { env, stdio: 'ignore' })
    await until('the agent', () => existsSync(join(rig.home, 'up')))
    child.kill('SIGTERM')
    await until('its end', () => child.exitCode !== null)
    expect(admin.asked.at(-1)?.method).toBe('DELETE')

    const late = await rig.script('run-once.sh', [], { env: { ...env, RUN_SECONDS: '1' } })
    expect(late.code).toBe(124)
    expect(admin.asked.at(-1)?.method).toBe('DELETE')
  })

  test('in two containers, the token stays with the one that does not run the agent', async () => {
    await using admin = await start()
    await rig.fake('claude', 'echo "token $GH_TOKEN"')
    const keeper = spawn(join(scripts, 'run-once.sh'), ['hold'], {
      env: { ...rig.env, IRON_PROXY_ADMIN_URL: admin.url },
      stdio: 'ignore',
    })
    const done = await rig.script('run-once.sh', ['run'], { env: { PROMPT: 'x' } })
    expect(done).toMatchObject({ code: 0, stdout: 'token proxy-token-github-r1\n' })
    keeper.kill('SIGTERM')
    await until('its end', () => keeper.exitCode !== null)
    expect(admin.asked.map(({ method }) => method)).toEqual(['POST', 'DELETE'])
  })

  test('says why there is no run, and runs nothing', async () => {
    await using admin = await startAdmin(() => [
      404,
      { error: { code: 'unknown_agent', message: 'the policy has no agent "testbot"' } },
    ])
    await rig.fake('claude', 'echo ran')
    const refused = await rig.script('run-once.sh', [], { env: { PROMPT: 'x', IRON_PROXY_ADMIN_URL: admin.url } })
    expect(refused).toMatchObject({ code: 69, stdout: '' })
    expect(refused.stderr).toContain('no run: the policy has no agent "testbot"')
    expect((await rig.script('run-once.sh', [], { env: { IRON_PROXY_ADMIN_URL: admin.url } })).stderr).toContain(
      'not set: PROMPT',
    )
  })
})
