import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild } from '../kit/child.ts'
import { run } from '../kit/clients.ts'
import { askOf, balanceOf, makeCrew, writeSeed } from '../kit/crew.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
import { hasRedis } from '../kit/redis.ts'
import { startUpstream } from '../kit/upstream.ts'

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
const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const body = { model: 'claude-opus-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] }

describe.skipIf(!hasRedis)('state copy (skipped without redis-server)', () => {
  it('moves a proxy from its file to Redis: the login goes on, and what was spent stays spent', { timeout: 90_000 }, async () => {
    await using stack = new AsyncDisposableStack()
    const llm = new Llm()
    const provider = new Provider()
    const certificate = testAuthority().leaf(host)
    const api = stack.use(await startUpstream({ certificate, protocol: 'h1', handler: llm.handle }))
    const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
    const hosts = { [host]: api.port, 'tokens.test': tokens.port }
    const crew = stack.use(await makeCrew(policy, hosts))
    await writeSeed(crew.files, provider)
    const ask = (child: Parameters<typeof askOf>[0]) =>
      askOf(child, crew.files, { host, path: '/v1/messages', body, headers: { authorization: 'Bearer access-token-stub' } })

    const alone = stack.use(await startChild({ files: crew.files, hosts }))
    expect((await ask(alone)).status).toBe(200)
    alone.kill('SIGTERM')
    await alone.exited
    const copy = (...args: readonly string[]) =>
      run(
        process.execPath,
        [bin, 'state', 'copy', '--from', join(crew.files.folder, 'state.db'), '--state', crew.redis.url, ...args],
        {},
      )
    const sealKey = join(crew.files.folder, 'seal.key')
    const wrongKey = join(crew.files.folder, 'wrong.key')
    await writeFile(wrongKey, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
    const refused = await copy('--seal-key', wrongKey)
    expect([refused.code, refused.stderr]).toEqual([78, expect.stringContaining('sealed with another key')])
    const copied = await copy('--seal-key', sealKey)
    expect(copied.stdout).toBe(`claude: generation 2\n1 grants, the spend of 1 accounts and 0 runs are in ${crew.redis.url}\n`)

    const replicas = await Promise.all([crew.start('a'), crew.start('b')])
    for (const [i, replica] of replicas.entries()) {
      expect((await balanceOf(replica))?.used).toBe(110 * (i + 1))
      expect((await ask(replica)).status).toBe(200)
    }
    expect([provider.calls, provider.alive]).toEqual([1, true])
    expect(llm.requests).toHaveLength(3)
  })
})
