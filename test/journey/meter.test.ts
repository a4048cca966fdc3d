import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gzipSync } from 'node:zlib'
import { Cancellation } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import { RefusedFields } from '#journey/refused-fields.ts'
import { exchange } from '#journey/exchange.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { accountOf, Admissions } from '#metering/admissions.ts'
import { figure } from '../kit/figures.ts'
import { makeLedger } from '../kit/ledger.ts'
import type { TestLedger } from '../kit/ledger.ts'
import { snapshotOf } from '../kit/policy.ts'
import { arrivalOf, bodyOf, readAll, Recorder, worldOf } from './parts.ts'
import type { World } from './parts.ts'

const policy = (budget: string): string => `
agents: {a: {from: [{cidr: 127.0.0.1}], budget: day}, watched: {from: [{cidr: 127.0.0.3}], mode: report}}
budgets: {day: {window: day, ${budget}}}
rules:
  - {id: priced, hosts: [api.openai.com], paths: [/v1/images/generations], meter: openai, price: {tokens: 70}}
  - {id: search, hosts: [search.test], meter: openai-compatible, price: {tokens: 30}}
  - {id: plain, hosts: [strict.test], paths: [/plain/**], meter: openai-compatible, amend: false}
  - {id: strict, hosts: [strict.test], meter: openai-compatible}
  - {id: llm, hosts: [api.openai.com, api.anthropic.com, generativelanguage.googleapis.com, unknown.test], meter: auto}
`

let store: TestLedger
let on: World
beforeEach(async () => {
  store = await makeLedger()
})
afterEach(() => store[Symbol.asyncDispose]())

async function world(budget = 'tokens: 100000'): Promise<Snapshot> {
  const snapshot = await snapshotOf(policy(budget))
  const made = worldOf(snapshot)
  const desk = new Admissions({ ledger: store.ledger, clock: made.clock, news: () => {}, patience: 100 })
  on = Object.assign(made, { ports: { ...made.ports, desk, refusedFields: new RefusedFields(made.clock) } })
  return snapshot
}

async function post(
  path: string,
  text: string | Uint8Array,
  { host = 'api.openai.com', from = '127.0.0.1', headers = [] as readonly string[], method = 'POST' } = {},
) {
  const client = new Recorder()
  const type = ['content-type', 'application/json', ...headers]
  const arrival = arrivalOf({ host, method, path, headers: type }, { from })
  await exchange(arrival, bodyOf([text]), client, new Cancellation<CutBy>(), on.ports)
  return client
}

const reply = (text: string, type = 'application/json'): void => {
  on.send = async (_outbound, body, sink) => {
    sent.push(await readAll(body))
    sink.head(200, ['content-type', type])
    sink.data(Buffer.from(text))
    sink.end([])
    return { address: '192.0.2.1:443' }
  }
}
const sent: string[] = []
const chat = JSON.stringify({ model: 'gpt-5', max_tokens: 10, messages: [] })

describe('a metered request', () => {
  it('is sent as it came, and its usage is in the record', async () => {
    await world()
    reply('{"model":"gpt-5","usage":{"prompt_tokens":7,"completion_tokens":3}}')
    const client = await post('/v1/chat/completions', chat)
    expect([client.status, sent.pop()]).toEqual([200, chat])
    expect(on.records.at(-1)).toMatchObject({ verdict: 'allow', usage: { meter: 'openai', model: 'gpt-5', input: 7, output: 3 } })
    expect(on.sent.at(-1)?.headers).toContain(String(chat.length))
  })

  it('at an endpoint that nobody knows is charged the price of its rule, whatever its method', async () => {
    const budget = (await world()).budgets.get('day')
    const spent = async () => {
      const [found] = budget ? await store.ledger.balances([accountOf(budget, 'a', store.ledger.now())]) : []
      return found?.spent.tokens
    }
    reply('{"results":[]}')
    for (const method of ['GET', 'POST']) {
      expect((await post('/search', '', { host: 'search.test', method })).status).toBe(200)
    }
    expect(await spent()).toBe(60)
    // Its list of models is known, and free.
    expect((await post('/v1/models', '', { host: 'search.test', method: 'GET' })).status).toBe(200)
    expect(await spent()).toBe(60)
  })

  it('that streams without asking for its usage is made to ask, and its agent does not notice', async () => {
    await world()
    const events = [
      '{"choices":[{"delta":{"content":"x"}}],"usage":null}',
      '{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}',
      '[DONE]',
    ]
    reply(events.map((event) => `data: ${event}\n\n`).join(''), 'text/event-stream')
    const client = await post('/v1/chat/completions', '{"model":"gpt-5","stream":true}')
    expect(sent.pop()).toBe('{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true}}')
    expect(client.text).toBe('data: {"choices":[{"delta":{"content":"x"}}],"usage":null}\n\ndata: [DONE]\n\n')
    expect(on.records.at(-1)).toMatchObject({ usage: { input: 7, output: 3 } })
  })

  describe('to a server that refuses what was added', () => {
    const stream = '{"model":"gpt-5","stream":true}'
    const words = 'data: {"choices":[{"delta":{"content":"some words of a reply"}}]}\n\ndata: [DONE]\n\n'
    const strict = (status: number, error: string, refuses = (body: string) => body.includes('stream_options')): void => {
      on.send = async (_outbound, body, sink) => {
        const text = await readAll(body)
        sent.push(text)
        const refused = refuses(text)
        sink.head(refused ? status : 200, ['content-type', refused ? 'application/json' : 'text/event-stream'])
        sink.data(Buffer.from(refused ? error : words))
        sink.end([])
        return { address: '192.0.2.1:443' }
      }
    }
    const ask = (path = '/v1/chat/completions') => post(path, stream, { host: 'strict.test' })

    it.each([
      ['Mistral', 422, '{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}}'],
      ['FastAPI', 422, `{"detail":[{"type":"extra_forbidden","input":"${'x'.repeat(400)}","loc":["body","stream_options"]}]}`],
      ['a strict decoder', 400, '{"error":"json: unknown field \\"stream_options\\""}'],
      ['one that knows the options and not this one', 400, '{"error":{"message":"Unknown parameter: include_usage"}}'],
      ['one that says it at length', 400, `{"error":"stream_options is not permitted","hint":"${'x'.repeat(20_000)}"}`],
      ['a gateway', 404, 'no such field: stream_options'],
    ])('(%s) it is sent again as it came, and the server is remembered', async (_who, status, error) => {
      await world()
      strict(status, error)
      sent.length = 0
      const client = await ask()
      expect([client.status, client.text]).toEqual([200, words])
      expect(sent).toEqual([stream.replace('}', ',"stream_options":{"include_usage":true}}'), stream])
      expect(on.records.at(-1)).toMatchObject({ verdict: 'allow', status: 200, usage: { estimated: true } })
      expect((await ask()).status).toBe(200)
      expect(sent).toHaveLength(3)
      on.clock.advance(25 * 60 * 60 * 1000)
      await ask()
      expect(sent).toHaveLength(5)
    })

    it('an error that does not name the field reaches the agent', async () => {
      await world()
      strict(422, '{"detail":"temperature is too high"}')
      sent.length = 0
      const client = await ask()
      expect([client.status, client.text, sent.length]).toEqual([422, '{"detail":"temperature is too high"}', 1])
    })

    it('a server that refuses the request without it too is not remembered', async () => {
      await world()
      strict(400, '{"error":"bad request","body":"stream_options"}', () => true)
      sent.length = 0
      expect((await ask()).status).toBe(400)
      expect((await ask()).status).toBe(400)
      expect(sent).toHaveLength(4)
      expect(on.records.at(-1)?.usage).toBeUndefined()
    })

    it('nothing is added where the rule says `amend: false`', async () => {
      await world()
      strict(422, '')
      sent.length = 0
      expect((await ask('/plain/v1/chat/completions')).status).toBe(200)
      expect(sent).toEqual([stream])
    })
  })

  it.each([
    ['/v1/messages', 'api.anthropic.com', 32, 'request_too_large'],
    ['/v1/responses', 'api.openai.com', 64, 'body_too_large'],
    ['/v1beta/models/gemini-2.5-pro:generateContent', 'generativelanguage.googleapis.com', 128, 413],
  ] as const)('to %s of %s may have %i MiB, as its provider takes, and no more', async (path, host, most, said) => {
    await world('tokens: 100000000')
    reply('{"model":"m"}')
    const piece = Buffer.alloc(1 << 20, 'x')
    const send = async (count: number) => {
      const client = new Recorder()
      const pieces = ['{"model":"gpt-5","contents":"', ...Array.from({ length: count }, () => piece), '"}']
      await exchange(
        arrivalOf({ host, method: 'POST', path, headers: ['content-type', 'application/json'] }),
        { ...bodyOf(pieces), length: pieces.reduce((sum, each) => sum + each.length, 0) },
        client,
        new Cancellation<CutBy>(),
        on.ports,
      )
      return client
    }
    const refused = await send(most)
    expect(refused.status).toBe(413)
    expect(refused.text).toContain(JSON.stringify(said))
    expect(on.sent).toEqual([])
    expect((await send(most - 1)).status).toBe(200)
  })

  it('that is compressed is read all the same, and never changed', async () => {
    await world()
    reply('{"usage":{"prompt_tokens":7,"completion_tokens":3}}')
    const body = gzipSync('{"model":"gpt-5","stream":true}')
    await post('/v1/chat/completions', body, { headers: ['content-encoding', 'gzip'] })
    expect(sent.pop()).toBe(body.toString('latin1'))
    expect(on.records.at(-1)).toMatchObject({ usage: { model: 'gpt-5' } })
  })

  it.each([
    ['to an endpoint that does not report its cost', '/v1/batches', '{}', {}, 'unmetered'],
    ['in the background', '/v1/responses', '{"background":true}', {}, 'unmetered'],
    ['in a coding nobody can undo', '/v1/responses', '{}', { headers: ['content-encoding', 'compress'] }, 'unmetered'],
    ['to a host whose provider is not known', '/v1/responses', '{}', { host: 'unknown.test' }, 'unmetered'],
  ] as const)('%s is refused before anything is sent', async (_what, path, text, some, code) => {
    await world()
    const client = await post(path, text, some)
    expect(client.status).toBe(403)
    expect(on.records.at(-1)).toMatchObject({ verdict: 'deny', code })
    expect(on.sent).toEqual([])
  })

  it('for a model without a price is refused where money is limited, and names the model either way', async () => {
    const ask = JSON.stringify({ model: `gpt-99-${'x'.repeat(200)}`, input: 'hello' })
    await world('usd: 1')
    expect((await post('/v1/responses', ask)).status).toBe(403)
    const unpriced = { meter: 'openai', model: `gpt-99-${'x'.repeat(93)}` }
    expect(on.records.at(-1)).toMatchObject({ code: 'model_unpriced', unpriced })
    await world()
    reply('{}')
    expect((await post('/v1/responses', ask)).status).toBe(200)
    expect(on.records.at(-1)).toMatchObject({ verdict: 'allow', unpriced })
    await post('/v1/chat/completions', chat)
    expect(on.records.at(-1)?.unpriced).toBeUndefined()
  })

  it('costs what the rule says where it reports nothing', async () => {
    await world('tokens: 100')
    reply('{"data":[]}')
    expect((await post('/v1/images/generations', '{}')).status).toBe(200)
    expect((await post('/v1/images/generations', '{}')).status).toBe(402)
    expect(on.records.at(-1)).toMatchObject({ code: 'budget_exhausted', budget: 'day' })
  })

  it('of an agent in report mode passes without a credential, and says what it would have met', async () => {
    await world()
    reply('{}')
    expect((await post('/v1/responses', '{"background":true}', { from: '127.0.0.3' })).status).toBe(200)
    expect(sent.pop()).toBe('{"background":true}')
    expect(on.records.at(-1)).toMatchObject({ verdict: 'would_deny', code: 'unmetered', agent: 'watched', swaps: [] })
  })

  describe('is charged what is known of it', () => {
    const message = JSON.stringify({
      model: 'claude-opus-4-5',
      max_tokens: 64_000,
      messages: [{ role: 'user', content: 'x'.repeat(400) }],
    })
    const streamed = message.replace('{', '{"stream":true,')
    const start =
      'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":50,"output_tokens":1}}}\n\n'
    const delta = `event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"${'y'.repeat(26)}"}}\n\n`
    const leaving = (cut: Cancellation<CutBy>, type: string, text: string): void => {
      on.send = async (_outbound, body, sink) => {
        await readAll(body)
        if (text !== '') {
          sink.head(200, ['content-type', type])
          sink.data(Buffer.from(text))
        }
        cut.cut('agent')
        throw new ProxyError('client_closed')
      }
    }
    /** Of a stranger, a byte is half a token. */
    const prompt = (body: string) => Math.ceil(body.length / 2)
    const rows: readonly (readonly [
      what: string,
      host: string,
      path: string,
      body: string,
      reply: string,
      charged: string,
      tokens: number,
    ])[] = [
      ['an agent that leaves a stream', 'api.anthropic.com', '/v1/messages', streamed, start + delta, 'seen', 50 + 8],
      [
        'an agent that leaves a stream before it begins',
        'api.anthropic.com',
        '/v1/messages',
        streamed,
        '',
        'seen',
        prompt(streamed) + 1,
      ],
      [
        'an agent that leaves a reply in one piece, a stranger',
        'api.anthropic.com',
        '/v1/messages',
        message,
        '',
        'expected',
        prompt(message) + 4_096,
      ],
      [
        'an agent that leaves a response of OpenAI',
        'api.openai.com',
        '/v1/responses',
        '{"model":"gpt-5","input":"hello"}',
        '',
        'prompt',
        prompt('{"model":"gpt-5","input":"hello"}') + 1,
      ],
      [
        'a reply that says that the provider failed',
        'api.anthropic.com',
        '/v1/messages',
        message,
        '{"type":"error","error":{"type":"overloaded_error"}}',
        'failed',
        0,
      ],
      [
        'a reply without a usage',
        'api.anthropic.com',
        '/v1/messages',
        message,
        '{"type":"message"}',
        'held',
        prompt(message) + 64_000,
      ],
    ]
    it.each(rows)('%s (%s%s)', async (_what, host, path, body, text, basis, tokens) => {
      await world('tokens: 10000000')
      const cut = new Cancellation<CutBy>()
      const budget = on.snapshot?.budgets.get('day')
      const whole = text.startsWith('{')
      if (whole) reply(text)
      else leaving(cut, 'text/event-stream', text)
      const client = new Recorder()
      const arrival = arrivalOf({ host, method: 'POST', path, headers: ['content-type', 'application/json'] })
      await exchange(arrival, bodyOf([body]), client, cut, on.ports)
      expect(on.records.at(-1)?.usage).toMatchObject({ charged: basis, estimated: true })
      const [balance] = budget ? await store.ledger.balances([accountOf(budget, 'a', store.ledger.now())]) : []
      expect([basis, balance?.spent.tokens, balance?.held.tokens]).toEqual([basis, tokens, 0])
    })

    it('an agent that leaves a reply in one piece, once it is known what its replies use', async () => {
      await world('tokens: 10000000')
      const used = JSON.stringify({ type: 'message', model: 'claude-opus-4-5', usage: { input_tokens: 200, output_tokens: 59 } })
      reply(used)
      for (let i = 0; i < 4; i += 1) await post('/v1/messages', message, { host: 'api.anthropic.com' })
      const cut = new Cancellation<CutBy>()
      leaving(cut, '', '')
      const arrival = arrivalOf({ host: 'api.anthropic.com', method: 'POST', path: '/v1/messages', headers: [] })
      await exchange(arrival, bodyOf([message]), new Recorder(), cut, on.ports)
      const usage = on.records.at(-1)?.usage
      figure(
        `an agent that leaves a reply in one piece, of 64,000 tokens at most: charged ${usage?.input} and ${usage?.output} as ${usage?.charged}`,
      )
      expect(usage).toMatchObject({ charged: 'expected', input: 210, output: 62 })
    })
  })

  it('that the upstream refuses costs nothing', async () => {
    await world('tokens: 100')
    on.send = async (_outbound, _body, sink) => {
      sink.head(529, ['content-type', 'application/json'])
      sink.end([])
      return { address: '192.0.2.1:443' }
    }
    for (let i = 0; i < 3; i += 1) expect((await post('/v1/images/generations', '{}')).status).toBe(529)
    expect(on.records.at(-1)?.usage).toBeUndefined()
  })
})
