import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { activate, stage } from '#ca/rotate.ts'
import { startTestApp } from '../kit/app.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
import { openTcp, openTls } from '../kit/raw.ts'
import { parseReplies, repliesOf } from '../kit/reply.ts'
import { scenario } from '../kit/scenario.ts'
import type { Scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'
import { contains, wire } from '../kit/wire.ts'
import { within } from '../kit/within.ts'

const policy = `version: 1
agents: {tester: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  key: {kind: bearer, stub: stub-of-the-key, secret: {file: secrets/key}, hosts: [one.test]}
rules:
  - {id: one, hosts: [one.test], credentials: [key]}
`
const upstreams = {
  one: {
    hosts: ['one.test'] as const,
    start: ({ certificate }: Parameters<Parameters<typeof scenario>[0]['upstreams'][string]['start']>[0]): Promise<Upstream> =>
      startUpstream({ certificate, protocol: 'h1' }),
  },
}
const two = { workers: 2 } as const

/** So many connections that the system has given some to each worker: the odds against it are 1 to 8 million. */
const many = 24

let threads: Worker[] = []
const seen = (thread: Worker): void => void threads.push(thread)

beforeEach(() => {
  threads = []
  process.on('worker', seen)
})
afterEach(() => void process.off('worker', seen))

type Given = Pick<Scenario<unknown>, 'ports' | 'files'>

function open({ ports, files }: Given, servername = 'one.test'): Promise<TLSSocket> {
  return openTls({ port: ports.https, servername, ca: files.ca, alpn: ['http/1.1'] })
}

function openMany(given: Given): Promise<TLSSocket[]> {
  return Promise.all(Array.from({ length: many }, () => open(given)))
}

/** Each worker makes its own leaf for a name, so that its serial number tells them apart. */
function workerOf(socket: TLSSocket): string {
  return socket.getPeerX509Certificate()?.serialNumber ?? ''
}

/** 0: the connection ended without a reply. */
async function ask(socket: TLSSocket, path = '/json'): Promise<number> {
  const line = wire(socket)
  line.write(`GET ${path} HTTP/1.1\r\nHost: one.test\r\nAuthorization: Bearer stub-of-the-key\r\n\r\n`)
  const { bytes } = await line.read(repliesOf(1), 20_000)
  return parseReplies(bytes)[0]?.status ?? 0
}

/** Whether a chunked reply came to its end. */
async function streamsWhole(socket: TLSSocket, path: string): Promise<boolean> {
  const line = wire(socket)
  line.write(`GET ${path} HTTP/1.1\r\nHost: one.test\r\n\r\n`)
  const last = '\r\n0\r\n\r\n'
  const { bytes } = await line.read(contains(last), 20_000)
  return bytes.includes(last)
}

async function isRefused(given: Given): Promise<boolean> {
  const late = await open(given).catch(() => undefined)
  late?.destroy()
  return late === undefined
}

function closeAll(sockets: readonly TLSSocket[]): void {
  for (const socket of sockets) socket.destroy()
}

async function statusOfConnect({ ports }: Given, word: string): Promise<number> {
  const line = wire(await openTcp({ port: ports.proxy }))
  line.write(`CONNECT one.test:443 HTTP/1.1\r\nHost: one.test:443\r\nProxy-Authorization: Basic ${word}\r\n\r\n`)
  const { bytes } = await line.read(contains('\r\n\r\n'))
  line.socket.destroy()
  return Number(bytes.toString('latin1').slice(9, 12))
}

function sumOf(metrics: string, name: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

function messageOf(some: object): string {
  const body = JSON.stringify({ model: 'claude-opus-4-5', messages: [{ role: 'user', content: 'hello' }], ...some })
  return `POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

const llmUpstream = (llm: Llm) => ({
  api: {
    hosts: ['api.anthropic.com'] as const,
    start: ({ certificate }: Parameters<typeof upstreams.one.start>[0]): Promise<Upstream> =>
      startUpstream({ certificate, protocol: 'h1', handler: llm.handle }),
  },
})

describe('two workers', () => {
  it('share the connections, show one key, and their numbers add up', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const sockets = await openMany(s)
    const workers = new Set(sockets.map(workerOf))
    expect(workers.size).toBe(2)
    const keys = sockets.map((socket) => socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'pem' }))
    expect(new Set(keys).size).toBe(1)

    for (let round = 0; round < 2; round += 1)
      expect(await Promise.all(sockets.map((socket) => ask(socket)))).toEqual(sockets.map(() => 200))
    const all = 2 * many
    expect(await within(() => s.audit.filter(({ type }) => type === 'request').length === all)).toBeDefined()
    const metrics = await s.metrics()
    expect(sumOf(metrics, 'ironproxy_requests_total')).toBe(all)
    expect(sumOf(metrics, 'ironproxy_swaps_total')).toBe(all)
    expect(sumOf(metrics, 'ironproxy_request_duration_seconds_count')).toBe(all)
    expect(metrics).toContain('ironproxy_tls_leafs_minted_total{result="allowed"} 2')
    expect(metrics).toContain('ironproxy_workers 2')
    // Told once a second.
    expect(
      await within(async () => (await s.metrics()).includes(`ironproxy_connections_active{kind="https"} ${many}`)),
    ).toBeDefined()
    expect(await within(async () => /ironproxy_worker_eventloop_lag_p99_seconds 0\.\d/.test(await s.metrics()))).toBeDefined()
    expect(sumOf(await s.metrics(), 'ironproxy_tls_leaf_cache_entries')).toBe(2)
    closeAll(sockets)
    expect(await s.canaryFoundIn()).toEqual([])
  })

  it('take in an edit of the policy, and a new value of a secret', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const sockets = await openMany(s)
    expect(new Set(sockets.map(workerOf)).size).toBe(2)
    const askAll = () => Promise.all(sockets.map((socket) => ask(socket)))
    await askAll()

    const path = join(s.files.policies, 'secrets/key')
    const before = (await readFile(path, 'utf8')).trim()
    const after = `${before}-and-more`
    await writeFile(`${path}.new`, after)
    await rename(`${path}.new`, path)
    await s.app.reload('signal')
    await askAll()
    const sent = s.upstreams.one.requests.map(
      ({ rawHeaders }) => rawHeaders[rawHeaders.findIndex((each) => /^authorization$/i.test(each)) + 1],
    )
    expect(sent).toEqual([...sockets.map(() => `Bearer ${before}`), ...sockets.map(() => `Bearer ${after}`)])

    await s.files.writePolicy(policy.replace('rules:', 'rules:\n  - {id: no, effect: deny, hosts: [one.test], paths: [/json]}'))
    await s.app.reload('signal')
    expect(await askAll()).toEqual(sockets.map(() => 403))
    closeAll(sockets)
  })

  it('sign with one CA, and with its successor once that is in force', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const { caFile, caKeyFile } = s.files
    const place = { certPath: caFile, keyPath: caKeyFile, now: Date.now(), uid: process.getuid?.() }
    closeAll(await openMany(s))
    await stage(place, { commonName: 'Test CA after', days: 30 })
    await activate(place, false)
    await s.app.reload('signal')
    // Whoever knows the next root alone believes each of them.
    const after = await openMany({ ...s, files: { ...s.files, ca: await readFile(caFile, 'utf8') } })
    expect(new Set(after.map(workerOf)).size).toBe(2)
    expect(await Promise.all(after.map((socket) => ask(socket)))).toEqual(after.map(() => 200))
    closeAll(after)
  })

  it('go on with a TLS session that began with the other', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const first = await open(s)
    const ticket = new Promise<Buffer>((resolve) => first.once('session', resolve))
    await ask(first)
    const options = { host: '127.0.0.1', port: s.ports.https, servername: 'one.test', ca: s.files.ca, session: await ticket }
    const again = Array.from({ length: many }, () => connect(options))
    expect(await Promise.all(again.map((socket) => ask(socket)))).toEqual(again.map(() => 200))
    expect(again.map((socket) => socket.isSessionReused())).toEqual(again.map(() => true))
    const status = (await (await fetch(`http://127.0.0.1:${s.ports.admin}/v1/status`)).json()) as { workers: object[] }
    expect(status.workers).toMatchObject([
      { worker: 1, serves: true },
      { worker: 2, serves: true },
    ])
    closeAll([first, ...again])
  })

  it('know a run as soon as it is minted, and none that has ended', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const admin = (method: string, path: string, body?: object) =>
      fetch(`http://127.0.0.1:${s.ports.admin}${path}`, { method, ...(body && { body: JSON.stringify(body) }) })
    const minted = await admin('POST', '/v1/runs', { agent: 'tester', ttl_seconds: 60 })
    const { run_id: id, proxy } = (await minted.json()) as { run_id: string; proxy: { username: string; password: string } }
    const word = Buffer.from(`${proxy.username}:${proxy.password}`).toString('base64')
    const connects = () => Promise.all(Array.from({ length: many }, () => statusOfConnect(s, word)))
    expect(await connects()).toEqual(Array.from({ length: many }, () => 200))
    expect((await admin('DELETE', `/v1/runs/${id}`)).status).toBe(204)
    expect(new Set(await connects())).toEqual(new Set([407]))
  })

  it('hold one budget: with room for one, one of two hundred gets in, and the rest in turn or not at all', async () => {
    const llm = new Llm()
    llm.with({ input: 300, output: 100 })
    await using s = await scenario({
      policy: `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}}
budgets: {day: {window: day, tokens: 1000, warnAt: [0.5]}}
rules:
  - {id: llm, hosts: [api.anthropic.com], meter: auto}
`,
      upstreams: llmUpstream(llm),
      settings: two,
    })
    const message = { model: 'claude-opus-4-5', max_tokens: 100_000, messages: [{ role: 'user', content: 'hello' }] }
    const code = `
      const body = JSON.stringify(${JSON.stringify(message)})
      const ask = () => fetch('https://api.anthropic.com/v1/messages', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      const all = await Promise.all(Array.from({ length: 200 }, ask))
      console.log(JSON.stringify(all.map(({ status }) => status)))
    `
    const { stdout, stderr } = await s.node('connect', code, { timeout: 50_000 })
    const statuses = JSON.parse(stdout || stderr) as number[]
    // 400 a request, one at a time, since each may cost all that is left: the last one passes the limit alone.
    expect(statuses.filter((status) => status === 200)).toHaveLength(3)
    expect(statuses.filter((status) => status === 402)).toHaveLength(197)
    expect(llm.requests).toHaveLength(3)
    const reply = await fetch(`http://127.0.0.1:${s.ports.admin}/v1/budgets`)
    expect(await reply.json()).toMatchObject([{ tokens: { used: 1200, reserved: 0 }, requests: 3 }])
    await s.audited({ type: 'budget', event: 'exhausted' })
    expect(s.audit.filter(({ type }) => type === 'budget').map(({ event }) => event)).toEqual(['warning', 'exhausted'])
  })

  it('end what runs on an account that the other has used up', async () => {
    const llm = new Llm()
    const gate = Promise.withResolvers<void>()
    await using s = await scenario({
      policy: `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}}
budgets: {day: {window: day, tokens: 2000, atLimit: cut}}
rules:
  - {id: llm, hosts: [api.anthropic.com], meter: auto}
`,
      upstreams: llmUpstream(llm),
      settings: two,
    })
    const sockets = await Promise.all(Array.from({ length: many }, () => open(s, 'api.anthropic.com')))
    const [one] = sockets
    const other = sockets.find((socket) => one && workerOf(socket) !== workerOf(one))
    if (!one || !other) throw new Error('one worker has them all')
    llm.with({ pace: (piece) => (piece === 0 ? undefined : gate.promise) })
    const line = wire(one)
    line.write(messageOf({ max_tokens: 100, stream: true }))
    await line.read(contains('content_block_delta'))
    llm.with({ input: 5_000 })
    const spending = wire(other)
    spending.write(messageOf({ max_tokens: 100 }))
    expect(parseReplies((await spending.read(repliesOf(1))).bytes)[0]?.status).toBe(200)
    // Of itself a worker looks only every ten seconds.
    const { bytes } = await line.read(contains('budget'), 7_000)
    expect(bytes.toString('latin1')).toContain('event: error')
    gate.resolve()
    closeAll(sockets)
  })

  it('refresh once for a storm over both', async () => {
    const gate = Promise.withResolvers<void>()
    const provider = new Provider({ delay: () => gate.promise })
    const shown = new Set<string>()
    const refused = new Set<string>()
    const { access, refresh } = provider.login()
    await using s = await scenario({
      policy: `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: stub-of-the-key, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [one.test]
rules:
  - {id: api, hosts: [one.test], credentials: [claude]}
`,
      upstreams: {
        api: {
          hosts: ['one.test'],
          start: ({ certificate }): Promise<Upstream> =>
            startUpstream({
              certificate,
              protocol: 'h1',
              handler({ request, response }) {
                request.resume()
                const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
                shown.add(token)
                response.writeHead(provider.accepts(token) && !refused.has(token) ? 200 : 401, { 'content-length': 0 }).end()
                return true
              },
            }),
        },
        tokens: { hosts: ['tokens.test'], start: ({ certificate }) => provider.serve(certificate) },
      },
      settings: two,
    })
    const seed = { access_token: access, refresh_token: refresh, expires_at: Date.now() / 1000 - 60 }
    await writeFile(join(s.files.policies, 'secrets/seed.json'), JSON.stringify(seed))
    await s.app.reload('signal')

    const sockets = await openMany(s)
    expect(new Set(sockets.map(workerOf)).size).toBe(2)
    const storm = Promise.all(sockets.map((socket) => ask(socket)))
    expect(await within(() => provider.calls === 1)).toBeDefined()
    gate.resolve()
    expect(await storm).toEqual(sockets.map(() => 200))
    // What an upstream refuses before its time is renewed once as well.
    expect(shown.size).toBe(1)
    for (const token of shown) refused.add(token)
    expect(await Promise.all(sockets.map((socket) => ask(socket)))).toEqual(sockets.map(() => 200))
    expect(provider.calls).toBe(2)
    expect(provider.alive).toBe(true)
    closeAll(sockets)
  })
})

describe('ports that workers share', () => {
  it('are not shared with another proxy', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const settings = {
      workers: 2,
      policies: s.files.policies,
      ca: { cert: s.files.caFile, key: s.files.caKeyFile },
      state: join(s.files.folder, 'other.db'),
      listen: { https: s.ports.https, dns: 'off', metrics: 'off', admin: 'off' },
    }
    const other = startTestApp(settings, () => {})
    await expect(other).rejects.toMatchObject({ code: 'EADDRINUSE', address: '127.0.0.1', port: s.ports.https })
  })
})

/** A message that nobody understands is a bug, and ends the thread that gets it. */
function fail(thread: Worker | undefined): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  thread?.postMessage({ kind: 'call', verb: 'no such verb', args: [] })
}

describe('a worker that fails', () => {
  it('costs its own connections in the middle of what they do, and another takes its place', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const serving = async () => sumOf(await s.metrics(), 'ironproxy_workers')
    const sockets = await openMany(s)
    const before = new Set(sockets.map(workerOf))
    expect(before.size).toBe(2)
    const streams = Promise.all(sockets.map((socket) => streamsWhole(socket, '/sse/20/100')))
    expect(await within(() => s.upstreams.one.requests.length === many)).toBeDefined()

    fail(threads[0])
    expect(await within(async () => (await serving()) === 1)).toBeDefined()
    expect((await fetch(`http://127.0.0.1:${s.ports.metrics}/readyz`)).status).toBe(200)
    const whole = await streams
    const after = [false, true].map((ended) => new Set(sockets.filter((_, i) => whole[i] === ended).map(workerOf)))
    expect(after.map(({ size }) => size)).toEqual([1, 1])
    expect(after[0]).not.toEqual(after[1])

    expect(await within(async () => (await serving()) === 2)).toBeDefined()
    expect(threads).toHaveLength(3)
    expect(await s.metrics()).toContain('ironproxy_worker_restarts_total 1')
    expect(s.log.join('')).toContain('a worker met what nobody foresaw')
    const again = await openMany(s)
    const now = new Set(again.map(workerOf))
    expect(now.size).toBe(2)
    expect([...now].filter((worker) => before.has(worker))).toHaveLength(1)
    expect(await Promise.all(again.map((socket) => ask(socket)))).toEqual(again.map(() => 200))
    closeAll([...sockets, ...again])
  })

  it('is charged what its requests held, at once', async () => {
    const llm = new Llm()
    const never = Promise.withResolvers<void>()
    llm.with({ pace: (piece) => (piece === 0 ? undefined : never.promise) })
    await using s = await scenario({
      policy: `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}}
budgets: {day: {window: day, tokens: 1000000}}
rules:
  - {id: llm, hosts: [api.anthropic.com], meter: auto}
`,
      upstreams: llmUpstream(llm),
      settings: two,
    })
    const balance = async () => {
      const reply = await fetch(`http://127.0.0.1:${s.ports.admin}/v1/budgets`)
      return ((await reply.json()) as { tokens: { used: number; reserved: number } }[])[0]?.tokens
    }
    const socket = await open(s, 'api.anthropic.com')
    const line = wire(socket)
    line.write(messageOf({ max_tokens: 1000, stream: true }))
    await line.read(contains('content_block_delta'))
    const held = (await balance())?.reserved ?? 0
    expect(held).toBeGreaterThan(1000)
    // Whichever of them has it; a third thread is the ledger's.
    for (const thread of threads.slice(0, 2)) fail(thread)
    expect(await within(async () => (await balance())?.reserved === 0)).toBeDefined()
    expect(await balance()).toMatchObject({ used: held, reserved: 0 })
    never.resolve()
    socket.destroy()
  })
})

describe('stopping', () => {
  it('lets what runs on each worker end, takes nothing new, and audits all of it', async () => {
    await using s = await scenario({ policy, secrets: ['key'], upstreams, settings: two })
    const sockets = await openMany(s)
    expect(new Set(sockets.map(workerOf)).size).toBe(2)
    const asked = Promise.all(sockets.map((socket) => ask(socket, '/slow/1000')))
    expect(await within(() => s.upstreams.one.requests.length === many)).toBeDefined()
    const stopped = s.app.stop({ lameDuck: 0, deadline: 10_000 })
    expect(await within(() => isRefused(s))).toBeDefined()
    expect(await asked).toEqual(sockets.map(() => 200))
    await stopped
    expect(s.audit.filter(({ type, status }) => type === 'request' && status === 200)).toHaveLength(many)
    closeAll(sockets)
  })
})
