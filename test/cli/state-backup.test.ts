import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild } from '../kit/child.ts'
import type { Child } from '../kit/child.ts'
import { run } from '../kit/clients.ts'
import { askOf, balanceOf, metricOf, writeSeed } from '../kit/crew.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
import { hasRedis, startRedis } from '../kit/redis.ts'
import { startUpstream } from '../kit/upstream.ts'
import { makeWorkspace } from '../kit/workspace.ts'

const host = 'api.anthropic.com'
const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [${host}]
budgets: {day: {window: day, tokens: 1000}}
rules: [{id: llm, hosts: [${host}], meter: anthropic, credentials: [claude]}]
`
const top = join(import.meta.dirname, '..', '..')
const bin = join(top, 'src', 'bin.js')
const body = { model: 'claude-opus-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] }

/** The commands of the page, as a shell would take them apart. */
const page =
  /^## Backup, restore, moving$[^]*?^```sh\n([^]*?)^```$/m.exec(readFileSync(join(top, 'deploy/README.md'), 'utf8'))?.[1] ?? ''
const commands = page
  .trim()
  .split('\n')
  .map((text) => text.replace(/\s+#.*$/, '').replace('npx iron-proxy ', ''))

describe('the page "Backup, restore, moving"', () => {
  it('runs as it stands there: no login is revoked, and spend is never lower', { timeout: 120_000 }, async () => {
    const [backup = '', restore = '', trusting = '', copy = '', ...more] = commands
    expect([backup, restore, trusting, copy, ...more].map((text) => text.split(' ').slice(0, 2).join(' '))).toEqual([
      'state backup',
      'state restore',
      'state restore',
      'state copy',
    ])
    await using stack = new AsyncDisposableStack()
    const llm = new Llm()
    const provider = new Provider()
    const api = stack.use(await startUpstream({ certificate: testAuthority().leaf(host), protocol: 'h1', handler: llm.handle }))
    const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
    const hosts = { [host]: api.port, 'tokens.test': tokens.port }
    const files = stack.use(await makeWorkspace(policy, []))
    await writeSeed(files, provider)
    const state = '.iron-proxy/state.db'
    const start = async (): Promise<Child> => stack.use(await startChild({ files, hosts, settings: { state } }))
    const stop = async (child: Child): Promise<void> => {
      child.kill('SIGTERM')
      await child.exited
    }
    const ask = async (child: Child): Promise<number> => {
      const headers = { authorization: 'Bearer access-token-stub' }
      return (await askOf(child, files, { host, path: '/v1/messages', body, headers })).status
    }
    const needsLogin = (child: Child) => metricOf(child, 'ironproxy_oauth_reauth_required{credential="claude"}')
    const type = (text: string, env: Readonly<Record<string, string>> = {}) =>
      run(process.execPath, [bin, ...text.split(' ')], {
        cwd: files.folder,
        env: { IRON_PROXY_CONFIG: 'settings.yaml', ...env },
      })
    const loseDisk = (): void => rmSync(join(files.folder, '.iron-proxy'), { recursive: true })

    const first = await start()
    expect([await ask(first), await needsLogin(first)]).toEqual([200, 0])
    expect(await type(restore)).toMatchObject({ code: 66, stderr: expect.stringContaining('monday.db: is not there') })
    expect(await type(backup)).toMatchObject({ code: 0, stdout: expect.stringContaining('grants, ledger, spent') })
    expect(statSync(join(files.folder, 'monday.db')).mode & 0o777).toBe(0o600)
    expect(await type(backup)).toMatchObject({ code: 73, stderr: expect.stringContaining('something else has its name') })
    expect(await type(restore)).toMatchObject({ code: 69, stderr: expect.stringContaining('a proxy is running on it') })
    await stop(first)

    loseDisk()
    expect(await type('state backup other.db')).toMatchObject({ code: 66 })
    const key = join(files.folder, 'other.key')
    writeFileSync(key, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
    expect(await type(restore, { IRON_PROXY_SEAL_KEY: key })).toMatchObject({ code: 78 })
    expect(await type(restore)).toMatchObject({ code: 0, stdout: expect.stringContaining('claude: generation 2, needs a login') })
    const second = await start()
    expect((await balanceOf(second))?.used).toBe(110)
    expect(await needsLogin(second)).toBe(1)
    await stop(second)

    loseDisk()
    expect(await type(trusting)).toMatchObject({ code: 0, stdout: expect.stringContaining('claude: generation 2\n') })
    const third = await start()
    expect([await ask(third), await needsLogin(third)]).toEqual([200, 0])
    expect((await balanceOf(third))?.used).toBe(220)
    await stop(third)
    expect([provider.calls, provider.alive]).toEqual([1, true])
    expect([first, second, third].map(({ stderr }) => /older copy|used last|is a copy/.test(stderr))).toEqual([
      false,
      false,
      false,
    ])

    if (!hasRedis) return
    const redis = stack.use(await startRedis())
    const copied = await type(copy.replace('redis://cache:6379/0', redis.url))
    expect(copied).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('claude: generation 2\n1 grants, the spend of 1 accounts'),
    })
    expect(existsSync(join(files.folder, state))).toBe(true)
    expect(await type(`state backup other.db --state ${redis.url}`)).toMatchObject({ code: 64 })
  })

  it.each([
    ['state', 'say backup, restore or copy'],
    ['state backup', 'name the file to write'],
    ['state restore', 'name the file to read'],
    ['state backup a --trust-grants', '--trust-grants is for restore'],
    ['state backup a --from b', '--from is for copy'],
    ['state copy a', 'unexpected argument "a"'],
  ])('%s is refused with 64: %s', async (text, why) => {
    expect(await run(process.execPath, [bin, ...text.split(' ')], {})).toMatchObject({
      code: 64,
      stderr: expect.stringContaining(why),
    })
  })
})
