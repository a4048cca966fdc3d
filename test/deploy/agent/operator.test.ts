import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startAdmin } from './admin.ts'
import { makeRig, missing, type Rig } from './rig.ts'

let rig: Rig

beforeEach(async () => {
  rig = await makeRig()
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const skip = missing.length > 0
const because = skip ? ` (skipped: no ${missing.join(', ')})` : ''

describe.skipIf(skip)(`reauth.sh${because}`, () => {
  const rows = (generation: number, needsLogin?: string) => [
    { id: 'github', kind: 'bearer', loaded: true },
    { id: 'claude', kind: 'oauth2', loaded: true, generation, ...(needsLogin && { needsLogin }) },
  ]

  test('shows the link for a login that is needed, and is done when there is a newer generation', async () => {
    let asked = 0
    await using admin = await startAdmin(({ path }) => {
      if (path === '/v1/login') return [200, { url: 'https://claude.example/authorize', page: '/login/abc' }]
      asked += 1
      // The same generation with the fault gone is no login.
      return [200, asked < 3 ? rows(3, asked < 2 ? 'invalid_grant' : undefined) : rows(4)]
    })
    const done = await rig.script('reauth.sh', [], { env: { IRON_PROXY_ADMIN_URL: admin.url, REAUTH_TICK_SECONDS: '0.1' } })
    expect(done.code).toBe(0)
    expect(done.stdout).toContain(`${admin.url}/login/abc`)
    expect(done.stderr).toContain('claude is logged in')
    expect(asked).toBe(3)
  })

  test.each([
    ['all is well', rows(3), 0, 'all logins are well'],
    ['nobody came', rows(3, 'invalid_grant'), 1, 'nobody logged claude in'],
  ])('answers when %s', async (_case, answer, code, words) => {
    await using admin = await startAdmin(({ path }) => (path === '/v1/login' ? [200, { page: '/login/x' }] : [200, answer]))
    const done = await rig.script('reauth.sh', [], {
      env: { IRON_PROXY_ADMIN_URL: admin.url, REAUTH_SECONDS: '1', REAUTH_TICK_SECONDS: '0.2' },
    })
    expect(done.stderr).toContain(words)
    expect(done.code).toBe(code)
  })

  test('names the credentials there are when one is asked for that is not', async () => {
    await using admin = await startAdmin(() => [200, rows(3)])
    const done = await rig.script('reauth.sh', ['nosuch'], { env: { IRON_PROXY_ADMIN_URL: admin.url } })
    expect(done.stderr).toContain('the proxy has no credential "nosuch"; it has: github, claude')
    expect(done.code).toBe(64)
  })

  test('exits 75 when the proxy does not answer', async () => {
    const done = await rig.script('reauth.sh', [], { env: { IRON_PROXY_ADMIN_URL: 'http://127.0.0.1:9' } })
    expect(done.code).toBe(75)
  })
})

describe.skipIf(skip)(`attach-agent.sh${because}`, () => {
  test('asks the cluster for one agent, or for all of them and when they were seen', async () => {
    await rig.fake(
      'kubectl',
      `case $1 in
      get) printf 'pod/devbot-0\\n'; [[ $* == *name=devbot* ]] || printf 'pod/pmbot-0\\n' ;;
      exec) case "$*" in *pmbot-0*) echo 'the last heartbeat was 99 s ago' >&2; exit 1 ;; *'--tty'*) echo "$*" ;; esac ;;
    esac`,
    )
    const one = await rig.script('attach-agent.sh', ['devbot'], { env: { NAMESPACE: 'crew' } })
    expect(one.stdout).toBe(
      'exec --stdin --tty --namespace crew devbot-0 --container agent -- tmux -L agent attach-session -t =main\n',
    )
    const all = await rig.script('attach-agent.sh', ['--all'])
    expect(all.stdout).toMatch(/^devbot-0 +alive\npmbot-0 +the last heartbeat was 99 s ago\n$/)
    await rig.fake('kubectl', 'echo "no route" >&2; exit 1')
    expect(await rig.script('attach-agent.sh', ['--all'])).toMatchObject({
      code: 69,
      stderr: expect.stringContaining('the cluster did not answer'),
    })
    expect((await rig.script('attach-agent.sh')).stderr).toContain('no agent runs on this machine')
    expect((await rig.script('attach-agent.sh', ['--nonsense'])).code).toBe(64)
  })
})
