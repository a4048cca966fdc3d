import { mkdirSync, renameSync, rmSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild } from '../kit/child.ts'
import type { Child } from '../kit/child.ts'
import { curl, run } from '../kit/clients.ts'
import { throughDoor } from '../kit/doors.ts'
import { figure } from '../kit/figures.ts'
import { Llm } from '../kit/llm.ts'
import { scenario } from '../kit/scenario.ts'
import { streamCurl } from '../kit/stream-curl.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace } from '../kit/workspace.ts'

const host = 'api.anthropic.com'
const policyOf = (budget: string): string => `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/24}], budget: day}
  neighbour: {from: [{cidr: 127.0.1.0/24}], budget: day}
  free: {from: [{cidr: 127.0.2.0/24}]}
budgets:
  day: {window: day, ${budget}}
rules:
  - {id: llm, hosts: [${host}], meter: anthropic}
  - {id: other, hosts: [other.test]}
`
/** Kills; IRON_PROXY_TRIALS=100 is the whole drill. */
const trials = Number(process.env['IRON_PROXY_TRIALS'] ?? 4)

const message = { model: 'claude-opus-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] }
const json = (body: object): readonly string[] => ['-N', '-H', 'Content-Type: application/json', '-d', JSON.stringify(body)]

async function stage(budget: string) {
  const llm = new Llm()
  const s = await scenario({
    policy: policyOf(budget),
    upstreams: {
      api: {
        hosts: [host],
        start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate, protocol: 'h1', handler: llm.handle }),
      },
      other: { hosts: ['other.test'], start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate }) },
    },
  })
  const ask = (body: object = message, from = '127.0.0.1') =>
    s.curl('connect', `https://${host}/v1/messages`, ['--interface', from, ...json(body)])
  const row = async (holder = 'devbot') => {
    const rows = (await (await fetch(`http://127.0.0.1:${s.ports.admin}/v1/budgets`)).json()) as {
      holder: string
      requests: number
      tokens: { used: number; reserved: number }
    }[]
    return rows.find((each) => each.holder === holder)
  }
  return { llm, s, ask, row, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

describe('a ledger that cannot be written', () => {
  it('refuses metered requests of agents with a budget, and nothing else, until it can', async () => {
    await using on = await stage('tokens: 100000')
    // In the place of its file stands a folder.
    const path = join(on.s.files.folder, 'state.db-ledger')
    rmSync(path, { force: true })
    mkdirSync(path)
    const refused = await on.ask()
    expect(refused.status).toBe(503)
    expect(JSON.parse(refused.body.toString())).toMatchObject({ type: 'error', error: { type: 'api_error' } })
    expect(on.llm.requests).toHaveLength(0)
    expect(await on.s.audited({ code: 'ledger_unavailable' })).toMatchObject({ agent: 'devbot', verdict: 'error' })
    expect((await on.ask(message, '127.0.2.1')).status).toBe(200)
    expect((await on.s.curl('connect', 'https://other.test/json')).status).toBe(200)
    rmdirSync(path)
    expect(await within(async () => (await on.ask()).status === 200)).toBeDefined()
    expect(await on.row()).toMatchObject({ tokens: { used: 110 } })
  })
})

describe('a budget', () => {
  it('of one agent says nothing about its neighbour', async () => {
    await using on = await stage('tokens: 200')
    on.llm.with({ input: 190, output: 10 })
    expect((await on.ask()).status).toBe(200)
    expect((await on.ask()).status).toBe(402)
    expect((await on.ask(message, '127.0.1.1')).status).toBe(200)
    expect([(await on.row())?.tokens.used, (await on.row('neighbour'))?.tokens.used]).toEqual([200, 200])
  })

  it('that is raised or reset lets the next request in at once', async () => {
    await using on = await stage('tokens: 200')
    on.llm.with({ input: 190, output: 10 })
    await on.ask()
    expect((await on.ask()).status).toBe(402)
    await on.s.editPolicy(policyOf('tokens: 1000'))
    expect((await on.ask()).status).toBe(200)
    const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
    const cli = (...args: string[]) =>
      run(process.execPath, [bin, 'budget', ...args, '--listen-admin', `127.0.0.1:${on.s.ports.admin}`], {})
    expect((await cli('show')).stdout).toMatch(
      /^day +devbot +day +400 of 1000 tokens; 2 requests; resets \d{4}-\d\d-\d\dT00:00:00Z$/m,
    )
    const explained = await run(
      process.execPath,
      [bin, 'explain', '--listen-admin', `127.0.0.1:${on.s.ports.admin}`, '--policies', on.s.files.policies].concat([
        '-a',
        'devbot',
        '-X',
        'POST',
        'https://api.anthropic.com/v1/messages',
      ]),
      {},
    )
    expect(explained.stdout).toMatch(
      /^ {2}budget {3}day \(devbot\): 400 of 1000 tokens used; resets \d{4}-\d\d-\d\dT00:00:00Z; at its limit: /m,
    )
    expect((await cli('set', 'day', '--agent', 'devbot', '--tokens', '1000')).code).toBe(0)
    expect((await on.ask()).status).toBe(402)
    expect((await cli('reset', 'day', '--agent', 'devbot')).stdout).toContain('0 of 1000 tokens')
    expect((await on.ask()).status).toBe(200)
    expect((await cli('reset', 'nothing')).code).toBe(69)
    expect((await cli('show', 'nothing')).code).toBe(1)
    expect((await cli('set', 'day', '--agent', 'devbot', '--tokens', '-1')).code).toBe(64)
  })

  it('that is lowered ends the streams that run over it, and no others', { timeout: 30_000 }, async () => {
    const limits = (cut: number, open: number) => `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/24}], budget: cut}
  neighbour: {from: [{cidr: 127.0.1.0/24}], budget: open}
budgets:
  cut: {window: day, atLimit: cut, tokens: ${cut}}
  open: {window: day, tokens: ${open}}
rules:
  - {id: llm, hosts: [${host}], meter: anthropic}
`
    await using on = await stage('tokens: 1')
    await on.s.editPolicy(limits(1_000_000, 1_000_000))
    on.llm.with({
      input: 500,
      pieces: 200,
      text: 'some words, and more of them. ',
      pace: () => new Promise((go) => setTimeout(go, 20)),
    })
    const streams = ['127.0.0.1', '127.0.1.1'].map((from) => on.ask({ ...message, max_tokens: 8_000, stream: true }, from))
    expect(await within(() => on.llm.requests.length === 2 && on.llm.requests.every(({ pieces }) => pieces > 20))).toBeDefined()
    const began = performance.now()
    await on.s.editPolicy(limits(600, 600))
    const [cut, open] = await Promise.all(streams)
    figure(
      `a lowered limit: cut ${Math.round((on.llm.requests.find(({ abortedAt }) => abortedAt)?.abortedAt ?? 0) - Date.now() + performance.now() - began)} ms after the edit`,
    )
    expect(cut?.body.toString()).toContain('billing_error')
    expect(cut?.body.toString()).not.toContain('message_stop')
    expect(open?.body.toString()).toContain('message_stop')
    expect(on.llm.requests.filter(({ abortedAt }) => abortedAt !== undefined)).toHaveLength(1)
  })

  it('under another name begins at zero: `check` says so, with the command that carries the spend over', async () => {
    await using on = await stage('tokens: 1000')
    on.llm.with({ input: 290, output: 10 })
    expect((await on.ask()).status).toBe(200)
    const renamed = policyOf('tokens: 1000')
      .replaceAll('devbot', 'builder')
      .replaceAll('budget: day', 'budget: daily')
      .replace('  day: {', '  daily: {')
    const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
    const admin = ['--listen-admin', `127.0.0.1:${on.s.ports.admin}`]
    const check = () => run(process.execPath, [bin, 'check', '--policies', on.s.files.policies, ...admin], {})
    expect((await check()).stdout).not.toContain('budget move')
    await on.s.editPolicy(renamed)
    expect((await on.row('builder'))?.tokens.used).toBe(0)
    await on.ask({ ...message, model: 'claude-99-opus' }, '127.0.2.1')
    const { stdout } = await check()
    expect(stdout).toContain('agents ask for the model "claude-99-opus" (meter anthropic), which has no price')
    expect(stdout).toContain('300 tokens are spent of budget "day" of agent devbot in the window that runs')
    expect(stdout).toContain('`iron-proxy budget move day --agent devbot --to BUDGET --to-agent AGENT` carries it over')
    const move = (...args: string[]) => run(process.execPath, [bin, 'budget', 'move', ...args, ...admin], {})
    expect((await move('day', '--agent', 'nobody', '--to', 'daily')).code).toBe(69)
    expect((await move('day', '--agent', 'devbot', '--to', 'unheard-of')).code).toBe(69)
    expect((await move('day', '--agent', 'devbot')).code).toBe(64)
    const moved = await move('day', '--agent', 'devbot', '--to', 'daily', '--to-agent', 'builder')
    expect(moved.stdout).toMatch(/^daily +builder +day +300 of 1000 tokens/m)
    expect((await check()).stdout).not.toContain('budget move')
  })

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['gzip, br', (bytes: Buffer) => brotliCompressSync(gzipSync(bytes))],
  ] as const)('counts a reply in %s, and a request in it', async (coding, encode) => {
    const usage = { input_tokens: 31, output_tokens: 4 }
    const events = `event: message_start\ndata: ${JSON.stringify({ type: 'message_start', message: { usage: { input_tokens: 31, output_tokens: 1 } } })}\n\nevent: message_delta\ndata: ${JSON.stringify({ type: 'message_delta', usage })}\n\n`
    let asked = 0
    await using s = await scenario({
      policy: policyOf('tokens: 100000'),
      upstreams: {
        api: {
          hosts: [host],
          start: ({ certificate }): Promise<Upstream> =>
            startUpstream({
              certificate,
              protocol: 'h1',
              handler({ request, response }) {
                request.on('data', (chunk: Buffer) => (asked += chunk.length))
                response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': coding })
                response.end(encode(Buffer.from(events)))
                return true
              },
            }),
        },
      },
    })
    const body = encode(Buffer.from(JSON.stringify({ ...message, stream: true })))
    const reply = await s.curl(
      'connect',
      `https://${host}/v1/messages`,
      [
        '--compressed',
        '-H',
        'Accept-Encoding: gzip, deflate, br, zstd',
        '-H',
        `Content-Encoding: ${coding}`,
        '-H',
        'Content-Type: application/json',
        '--data-binary',
        '@-',
      ],
      { input: body },
    )
    expect(reply.status).toBe(200)
    expect(reply.body.toString()).toBe(events)
    expect(asked).toBe(body.length)
    expect(await s.audited({ rule: 'llm', type: 'request' })).toMatchObject({
      usage: { input: 31, output: 4, model: 'claude-opus-4-5' },
    })
  })
})

describe('a proxy that is killed in the middle of a stream', () => {
  it(
    'has at least charged what was delivered, for every agent, when it is back',
    { timeout: 60_000 + trials * 5_000 },
    async () => {
      await using stack = new AsyncDisposableStack()
      const files = stack.use(await makeWorkspace(policyOf('tokens: 1000000'), []))
      const llm = new Llm()
      const api = stack.use(await startUpstream({ certificate: testAuthority().leaf(host), protocol: 'h1', handler: llm.handle }))
      const start = async (): Promise<Child> => stack.use(await startChild({ files, hosts: { [host]: api.port } }))
      const used = async (child: Child) => {
        const rows = (await (await fetch(`http://127.0.0.1:${child.ports.admin}/v1/budgets`)).json()) as {
          holder: string
          tokens: { used: number; reserved: number }
        }[]
        return rows.find(({ holder }) => holder === 'devbot')?.tokens ?? { used: 0, reserved: 0 }
      }
      let delivered = 0
      for (let trial = 0; trial < trials; trial += 1) {
        const child = await start()
        const before = (await used(child)).used
        expect(before).toBeGreaterThanOrEqual(delivered)
        llm.with({ input: 500, pieces: 1000, pace: () => new Promise((go) => setTimeout(go, 3)) })
        const url = `https://${host}/v1/messages`
        const { curl: settings, env } = throughDoor('connect', child.ports, files.caFile)
        using stream = streamCurl([...settings(url), ...json({ ...message, stream: true, max_tokens: 4000 }), url], env)
        const pieces = 5 + (trial % 10) * 10
        expect(await within(() => (llm.requests[trial]?.pieces ?? 0) > pieces, 15_000)).toBeDefined()
        expect(stream.running).toBe(true)
        child.kill('SIGKILL')
        await child.exited
        // A word a piece, and the prompt: what the agent has read, the provider has billed.
        delivered += 500 + pieces
      }
      const last = await start()
      const { used: spent, reserved } = await used(last)
      expect(spent).toBeGreaterThanOrEqual(delivered)
      expect(reserved).toBe(0)
      const { curl: settings, env } = throughDoor('connect', last.ports, files.caFile)
      llm.with({})
      const url = `https://${host}/v1/messages`
      expect(
        (await curl([...settings(url), '-w', '%{http_code}', '-o', '/dev/null', ...json(message), url], { env })).stdout,
      ).toBe('200')
      renameSync(join(files.folder, 'state.db-ledger'), join(files.folder, 'kept'))
    },
  )
})
