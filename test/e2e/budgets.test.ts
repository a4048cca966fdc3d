import { describe, expect, it } from 'vitest'
import { Llm } from '../kit/llm.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

const hosts = ['api.anthropic.com', 'api.openai.com', 'generativelanguage.googleapis.com'] as const

const policyOf = (budget: string): string => `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}
budgets:
  day: {window: day, warnAt: [0.5], ${budget}}
rules:
  - {id: llm, hosts: [${hosts.join(', ')}], meter: auto}
`

async function stage(budget: string) {
  const llm = new Llm()
  const s = await scenario({
    policy: policyOf(budget),
    upstreams: {
      api: {
        hosts,
        start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate, protocol: 'h1', handler: llm.handle }),
      },
    },
  })
  const ask = (body: object, path = '/v1/messages', host: string = hosts[0]) =>
    s.curl('connect', `https://${host}${path}`, ['-N', '-H', 'Content-Type: application/json', '-d', JSON.stringify(body)])
  const balance = async () => {
    const reply = await fetch(`http://127.0.0.1:${s.ports.admin}/v1/budgets`)
    const [row] = (await reply.json()) as {
      tokens: { used: number; reserved: number }
      usd: { used: number }
      requests: number
    }[]
    return row
  }
  return { llm, s, ask, balance, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

const message = { model: 'claude-opus-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] }

describe('a budget', () => {
  it('is charged what replies report, whole and streamed, of every provider', async () => {
    await using on = await stage('tokens: 1000000')
    on.llm.with({ input: 100, output: 10, cacheRead: 5 })
    const chat = { model: 'gpt-5', messages: [], max_tokens: 100 }
    const content = { contents: [], generationConfig: { maxOutputTokens: 100 } }
    const asks = [
      () => on.ask(message),
      () => on.ask({ ...message, stream: true }),
      () => on.ask(chat, '/v1/chat/completions', hosts[1]),
      () => on.ask({ ...chat, stream: true }, '/v1/chat/completions', hosts[1]),
      () => on.ask({ model: 'gpt-5', input: 'x', max_output_tokens: 100 }, '/v1/responses', hosts[1]),
      () => on.ask({ model: 'gpt-5', input: 'x', stream: true, max_output_tokens: 100 }, '/v1/responses', hosts[1]),
      () => on.ask(content, '/v1beta/models/gemini-2.5-pro:generateContent', hosts[2]),
      () => on.ask(content, '/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse', hosts[2]),
    ]
    for (const [i, ask] of asks.entries()) {
      const { status } = await ask()
      expect(status).toBe(200)
      const audited = await on.s.audited({ type: 'request', path: on.llm.requests.at(-1)?.path ?? '' })
      expect(audited?.usage).toMatchObject({ input: 100, output: 10, cache_read: 5 })
      expect(audited?.usage?.estimated).toBeUndefined()
      expect(await on.balance()).toMatchObject({ tokens: { used: (i + 1) * 115, reserved: 0 }, requests: i + 1 })
    }
    const metrics = await on.s.metrics()
    expect(metrics).toContain(
      'ironproxy_llm_tokens_total{agent="devbot",provider="anthropic",model="claude-opus-4-5",type="output"} 20',
    )
    expect(metrics).toContain('ironproxy_budget_used_tokens{agent="devbot",budget="day",window="day"} 920')
    expect(metrics).toContain('ironproxy_budget_remaining_tokens{agent="devbot",budget="day",window="day"} 999080')
  })

  it('that is used up refuses with the provider’s own words, once told', async () => {
    await using on = await stage('tokens: 200')
    on.llm.with({ input: 180, output: 20 })
    expect((await on.ask(message)).status).toBe(200)
    const refused = await on.ask(message)
    expect(refused.status).toBe(402)
    expect(refused.head).toContain('x-should-retry: false')
    expect(refused.head).not.toContain('retry-after')
    expect(JSON.parse(refused.body.toString())).toMatchObject({
      type: 'error',
      error: {
        type: 'billing_error',
        message: expect.stringMatching(
          /Daily token budget "day" is used up: agent devbot, 200 of 200 tokens; resets \d{4}-/,
        ) as string,
      },
    })
    expect(on.llm.requests).toHaveLength(1)
    const chat = await on.ask({ model: 'gpt-5', messages: [] }, '/v1/chat/completions', hosts[1])
    expect([chat.status, JSON.parse(chat.body.toString())]).toMatchObject([402, { error: { code: 'budget_exceeded' } }])
    const gemini = await on.ask({}, '/v1beta/models/gemini-2.5-pro:generateContent', hosts[2])
    expect([gemini.status, JSON.parse(gemini.body.toString())]).toMatchObject([429, { error: { status: 'RESOURCE_EXHAUSTED' } }])
    expect(await on.s.audited({ event: 'exhausted' })).toMatchObject({ agent: 'devbot', budget: 'day', code: 'budget_exhausted' })
    expect(on.s.audit.filter(({ type }) => type === 'budget').map(({ event }) => event)).toEqual(['warning', 'exhausted'])
    expect(await on.s.metrics()).toContain('ironproxy_budget_denials_total{agent="devbot",budget="day"} 3')
  })

  it('with room for one lets one of two hundred in, and the rest in turn or not at all', async () => {
    await using on = await stage('tokens: 1000')
    on.llm.with({ input: 300, output: 100 })
    const code = `
      const body = JSON.stringify(${JSON.stringify({ ...message, max_tokens: 100_000 })})
      const ask = () => fetch('https://${hosts[0]}/v1/messages', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      const all = await Promise.all(Array.from({ length: 200 }, ask))
      console.log(JSON.stringify(all.map(({ status }) => status)))
    `
    const { stdout } = await on.s.node('connect', code)
    const statuses = JSON.parse(stdout) as number[]
    // 400 a request, one at a time, since each may cost all that is left: the last one passes the limit alone.
    expect(statuses.filter((status) => status === 200)).toHaveLength(3)
    expect(statuses.filter((status) => status === 402)).toHaveLength(197)
    expect(on.llm.requests).toHaveLength(3)
    expect(await on.balance()).toMatchObject({ tokens: { used: 1200, reserved: 0 } })
  })

  it('cuts a running reply with the provider’s own error, and the upstream at once', async () => {
    await using on = await stage('tokens: 3000, atLimit: cut')
    on.llm.with({
      input: 100,
      pieces: 500,
      text: 'many words, and many more of them, '.repeat(4),
      pace: () => new Promise((go) => setTimeout(go, 2)),
    })
    const reply = await on.ask({ ...message, stream: true, max_tokens: 100_000 })
    expect(reply.status).toBe(200)
    const text = reply.body.toString()
    expect(text).toMatch(/\n\nevent: error\ndata: \{"type":"error","error":\{"type":"billing_error"/)
    expect(text).not.toContain('message_stop')
    const [request] = on.llm.requests
    expect(request?.abortedAt).toBeDefined()
    expect(request?.pieces).toBeLessThan(200)
    expect((await on.ask(message)).status).toBe(402)
    const { tokens } = (await on.balance()) ?? { tokens: { used: 0 } }
    expect(tokens.used).toBeGreaterThanOrEqual(3000)
    await on.s.audited({ event: 'exhausted' })
    expect(on.s.audit.filter(({ event }) => event === 'exhausted')).toHaveLength(1)
  })

  it('of nothing blocks everything, and what is refused or fails upstream costs nothing', async () => {
    await using on = await stage('tokens: 0')
    expect((await on.ask(message)).status).toBe(402)
    expect(on.llm.requests).toHaveLength(0)
    await on.s.editPolicy(policyOf('tokens: 100000'))
    on.llm.with({ status: 529 })
    expect((await on.ask(message)).status).toBe(529)
    expect(await on.balance()).toMatchObject({ tokens: { used: 0, reserved: 0 } })
    on.llm.with({})
    expect((await on.ask(message)).status).toBe(200)
  })

  it('in money refuses a model without a price, and says how to give it one', async () => {
    await using on = await stage('usd: 1')
    const refused = await on.ask({ ...message, model: 'nobody-knows-this' })
    expect(refused.status).toBe(403)
    expect(refused.body.toString()).toContain('add it under `prices`')
    expect((await on.ask(message)).status).toBe(200)
    expect(await on.balance()).toMatchObject({ usd: { used: 0.00075 } })
  })

  it('leaves what a subscription says of its limits as it is, and shows it', async () => {
    await using on = await stage('tokens: 1000000')
    on.llm.with({
      headers: { 'anthropic-ratelimit-unified-5h-utilization': '0.42', 'anthropic-ratelimit-unified-status': 'allowed' },
    })
    const reply = await on.ask({ ...message, stream: true })
    expect(reply.head).toContain('anthropic-ratelimit-unified-5h-utilization: 0.42')
    expect(reply.head).toContain('anthropic-ratelimit-unified-status: allowed')
    expect(await on.s.audited({ path: '/v1/messages' })).toMatchObject({ limits: { '5h': 0.42 } })
    expect(await on.s.metrics()).toContain('ironproxy_llm_subscription_utilization_ratio{credential="unknown",limit="5h"} 0.42')
  })

  it('refuses endpoints whose cost nobody reports, and WebSockets with 426', async () => {
    await using on = await stage('tokens: 1000000')
    expect((await on.ask({}, '/v1/messages/batches')).status).toBe(403)
    expect((await on.ask({ model: 'gpt-5', input: 'x', background: true }, '/v1/responses', hosts[1])).status).toBe(403)
    const upgrade = [
      '--http1.1',
      '-H',
      'Connection: Upgrade',
      '-H',
      'Upgrade: websocket',
      '-H',
      'Sec-WebSocket-Version: 13',
      '-H',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]
    expect((await on.s.curl('connect', `https://${hosts[1]}/v1/responses`, upgrade)).status).toBe(426)
    expect(on.llm.requests).toHaveLength(0)
  })
})
