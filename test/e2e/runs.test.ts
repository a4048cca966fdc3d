import { describe, expect, it } from 'vitest'
import { Llm } from '../kit/llm.ts'
import { scenario } from '../kit/scenario.ts'
import { streamCurl } from '../kit/stream-curl.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Visit } from '../kit/upstream.ts'

const policyOf = (more = ''): string => `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}
  other: {from: [{cidr: 10.0.0.1}]}
budgets:
  day: {window: day, tokens: 100000}
credentials:
  github: {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [api.github.test, github.test]}
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/claude}
    tokenEndpoint: https://tokens.test/v1/oauth/token
    clientId: client
    hosts: [api.anthropic.test]
rules:
  - {id: github, hosts: [api.github.test], credentials: [github]}
  - {id: git, hosts: [github.test], credentials: [github]}
  - {id: open, hosts: [open.test]}
  - {id: tokens, hosts: [tokens.test], methods: [POST], credentials: [claude]}
  - {id: llm, hosts: [api.anthropic.com], meter: anthropic}
${more}`

interface MintedRun {
  readonly run_id: string
  readonly proxy: { readonly url: string; readonly username: string; readonly password: string }
  readonly stubs: { readonly github: string; readonly claude: string }
  readonly expires_at: string
}

const hosts = ['api.github.test', 'github.test', 'open.test', 'api.anthropic.com'] as const

async function stage() {
  const llm = new Llm()
  const handler = (visit: Visit): boolean => {
    if (visit.seen.target === '/forever') {
      visit.response.writeHead(200, { 'content-type': 'text/event-stream' })
      visit.response.write('data: first\n\n')
      return true
    }
    return visit.seen.target === '/v1/messages' && llm.handle(visit)
  }
  const s = await scenario({
    policy: policyOf(),
    secrets: ['github', 'claude'],
    upstreams: { api: { hosts, start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1', handler }) } },
  })
  const admin = async (method: string, path: string, body?: object) => {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
    const reply = await fetch(`http://127.0.0.1:${s.ports.admin}${path}`, init)
    const text = await reply.text()
    return { status: reply.status, body: (text === '' ? {} : JSON.parse(text)) as unknown }
  }
  const mint = async (some: object = {}): Promise<MintedRun> => {
    const { status, body } = await admin('POST', '/v1/runs', { agent: 'devbot', ttl_seconds: 60, ...some })
    expect(status).toBe(201)
    return body as MintedRun
  }
  const asRun = ({ proxy }: MintedRun) => ['--proxy-user', `${proxy.username}:${proxy.password}`]
  const bearer = (stub: string) => ['-H', `authorization: Bearer ${stub}`]
  return { llm, s, admin, mint, asRun, bearer, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

describe('a run', () => {
  it('works with its own stub through the explicit proxy, and every record carries its id', async () => {
    await using on = await stage()
    const run = await on.mint({ label: 'pr-reviewer 88' })
    expect(run.proxy.url).toBe(`http://127.0.0.1:${on.s.ports.proxy}`)
    const reply = await on.s.curl('connect', 'https://api.github.test/user', [...on.asRun(run), ...on.bearer(run.stubs.github)])
    expect(reply.status).toBe(200)
    expect(on.s.upstreams.api.requests.at(-1)?.rawHeaders).toContain(`Bearer ${on.s.files.secrets['github']}`)
    expect(await on.s.audited({ type: 'request', runId: run.run_id })).toMatchObject({
      agent: 'devbot',
      rule: 'github',
      swaps: [{ credential: 'github', place: 'header:authorization' }],
    })
    expect(on.s.audit.filter(({ type }) => type === 'tunnel').map(({ runId }) => runId)).toContain(run.run_id)
    expect(await on.s.audited({ type: 'run', event: 'minted' })).toMatchObject({ runId: run.run_id, reason: 'pr-reviewer 88' })
    const said =
      on.s.files.audit() + on.s.log.join('') + (await on.s.metrics()) + JSON.stringify(await on.admin('GET', '/v1/runs'))
    for (const secret of [run.proxy.password, run.stubs.github, run.stubs.claude]) expect(said).not.toContain(secret)
  })

  it('has no other stub than its own, and nobody else has that', async () => {
    await using on = await stage()
    const [one, other] = [await on.mint(), await on.mint()]
    const url = 'https://api.github.test/user'
    const asks = [
      await on.s.curl('connect', url, [...on.asRun(one), ...on.bearer(other.stubs.github)]),
      await on.s.curl('connect', url, [...on.asRun(one), ...on.bearer('proxy-token-github')]),
      await on.s.curl('connect', url, on.bearer(one.stubs.github)),
      await on.s.curl('connect', 'https://open.test/', on.bearer(one.stubs.github)),
      await on.s.curl('connect', 'https://open.test/', [...on.asRun(one), ...on.bearer(one.stubs.github)]),
    ]
    expect(asks.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403])
    const codes = asks.map(({ body }) => (JSON.parse(body.toString()) as { error: { code: string } }).error.code)
    expect(codes).toEqual(['stub_wrong_agent', 'stub_wrong_agent', 'stub_wrong_agent', 'stub_wrong_host', 'stub_wrong_host'])
    expect(on.s.upstreams.api.requests).toEqual([])
  })

  it('is answered with its own stub where it refreshes', async () => {
    await using on = await stage()
    const run = await on.mint()
    const body = JSON.stringify({ grant_type: 'refresh_token', refresh_token: 'refresh-token-stub' })
    const reply = await on.s.curl('connect', 'https://tokens.test/v1/oauth/token', [
      ...on.asRun(run),
      '-H',
      'content-type: application/json',
      '-d',
      body,
    ])
    expect(JSON.parse(reply.body.toString())).toMatchObject({
      access_token: run.stubs.claude,
      refresh_token: 'refresh-token-stub',
    })
  })

  it('reaches the hosts it was narrowed to and no other, whatever its agent may, also after a reload', async () => {
    await using on = await stage()
    const run = await on.mint({ hosts: ['api.github.test'] })
    const status = async (url: string) => (await on.s.curl('connect', url, on.asRun(run))).status
    expect([await status('https://api.github.test/'), await status('https://github.test/')]).toEqual([200, 403])
    expect(await on.s.audited({ runId: run.run_id, code: 'host_denied' })).toMatchObject({ agent: 'devbot', host: 'github.test' })
    expect(await on.s.editPolicy(policyOf('  - {id: more, hosts: [more.test]}\n'))).toBe(true)
    expect([await status('https://api.github.test/'), await status('https://more.test/')]).toEqual([200, 403])
    expect(on.s.upstreams.api.requests).toHaveLength(2)
    const wider = await on.admin('POST', '/v1/runs', { agent: 'devbot', ttl_seconds: 60, hosts: ['elsewhere.test'] })
    expect(wider).toMatchObject({ status: 400, body: { error: { code: 'scope_wider' } } })
  })

  it('ends at once when it is revoked: its streams, its tunnels, and whatever it would ask next', async () => {
    await using on = await stage()
    const [run, kept] = [await on.mint(), await on.mint()]
    const { curl, env } = on.s.door('connect')
    const url = 'https://open.test/forever'
    const open = (of: MintedRun) => streamCurl([...curl(url), ...on.asRun(of), '--no-buffer', url], env)
    using cut = open(run)
    using running = open(kept)
    expect([await cut.until('first'), await running.until('first')]).toEqual([true, true])
    expect((await on.admin('DELETE', `/v1/runs/${run.run_id}`)).status).toBe(204)
    expect(await cut.ended).not.toBe(0)
    expect(await on.s.audited({ type: 'request', runId: run.run_id, code: 'policy_changed' })).toBeDefined()
    expect(await on.s.audited({ type: 'tunnel', event: 'close', runId: run.run_id })).toBeDefined()
    expect(await on.s.audited({ type: 'run', event: 'ended' })).toMatchObject({ runId: run.run_id, reason: 'it was revoked' })
    const again = await on.s.curl('connect', 'https://open.test/', on.asRun(run))
    expect(again.status).toBe(0)
    expect(await on.s.audited({ code: 'proxy_auth_required' })).toMatchObject({ agent: null, type: 'tunnel' })
    expect((await on.admin('DELETE', `/v1/runs/${run.run_id}`)).status).toBe(404)
    expect((await on.s.curl('connect', 'https://open.test/', on.asRun(kept))).status).toBe(200)
    expect(running.running).toBe(true)
  })

  it('ends by itself when its time is over', async () => {
    await using on = await stage()
    const run = await on.mint({ ttl_seconds: 1 })
    expect((await on.s.curl('connect', 'https://open.test/', on.asRun(run))).status).toBe(200)
    expect(await on.s.audited({ type: 'run', event: 'ended' }, 5_000)).toMatchObject({ reason: 'its time is over' })
    expect((await on.s.curl('connect', 'https://open.test/', on.asRun(run))).status).toBe(0)
    expect(await on.s.audited({ code: 'proxy_auth_required' })).toMatchObject({ agent: null })
    expect((await on.admin('GET', '/v1/runs')).body).toEqual([])
  })

  it('pays from its own budget and its agent’s, all or nothing', async () => {
    await using on = await stage()
    on.llm.with({ input: 100, output: 50 })
    const run = await on.mint({ budget: { tokens: 200 } })
    const message = JSON.stringify({ model: 'claude-opus-4-5', max_tokens: 50, messages: [{ role: 'user', content: 'x' }] })
    const ask = (more: readonly string[]) =>
      on.s.curl('connect', 'https://api.anthropic.com/v1/messages', [
        '-H',
        'content-type: application/json',
        '-d',
        message,
        ...more,
      ])
    expect([(await ask(on.asRun(run))).status, (await ask(on.asRun(run))).status]).toEqual([200, 200])
    const refused = await ask(on.asRun(run))
    expect(refused.status).toBe(402)
    expect(refused.body.toString()).toContain(`token budget \\"run:${run.run_id}\\" is used up: 300 of 200 tokens`)
    const rows = (await on.admin('GET', '/v1/budgets')).body as { holder: string; tokens: { used: number } }[]
    expect(rows.map(({ holder, tokens }) => [holder, tokens.used])).toEqual([['devbot', 300]])
    // Its agent has what is left of its own, and so has another run.
    expect([(await ask([])).status, (await ask(on.asRun(await on.mint({ budget: { tokens: 200 } })))).status]).toEqual([200, 200])
    expect(await on.s.metrics()).toContain('ironproxy_budget_denials_total{agent="devbot",budget="run"} 1')
  })
})

describe('an agent that was bound to a run', () => {
  it('has it in every record from then on, until it is bound to the next', async () => {
    await using on = await stage()
    const bind = (run_id: string | null) => on.admin('POST', '/v1/runs/bind', { agent: 'devbot', run_id })
    for (const [id, path] of [
      ['wake-1', '/one'],
      ['wake-2', '/two'],
    ] as const) {
      expect((await bind(id)).status).toBe(200)
      await on.s.curl('connect', `https://open.test${path}`)
      await on.s.curl('connect', `https://denied.test${path}`, ['-H', 'x-run-id: its-own-idea'])
      expect(await on.s.audited({ path })).toMatchObject({ runId: id, agent: 'devbot' })
      expect(await on.s.audited({ runId: id, code: 'host_denied' })).toMatchObject({ host: 'denied.test' })
    }
    await bind(null)
    await on.s.curl('connect', 'https://open.test/none')
    expect((await on.s.audited({ path: '/none' }))?.runId).toBeUndefined()
    expect((await on.admin('POST', '/v1/runs/bind', { agent: 'nobody', run_id: 'x' })).status).toBe(404)
  })
})
