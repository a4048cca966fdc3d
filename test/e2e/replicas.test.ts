import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import type { Child } from '../kit/child.ts'
import { askOf, balanceOf, makeCrew, metricOf, writeSeed } from '../kit/crew.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
import { hasRedis } from '../kit/redis.ts'
import type { RedisServer } from '../kit/redis.ts'
import { startUpstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

/** IRON_PROXY_TRIALS=300 is the whole drill: that many requests, and pauses of a minute. */
const trials = Number(process.env['IRON_PROXY_TRIALS'] ?? 45)
const whole = trials >= 300

const oauthPolicy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [api.test]
rules:
  - {id: api, hosts: [api.test], credentials: [claude]}
`

/** A provider of single-use refresh tokens, and an API that takes only its newest access token. */
async function oauthCrew(provider: Provider) {
  await using stack = new AsyncDisposableStack()
  const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
  const api = stack.use(
    await startUpstream({
      certificate: testAuthority().leaf('api.test'),
      protocol: 'h1',
      handler({ request, response }) {
        const good = provider.accepts(request.headers.authorization?.replace('Bearer ', '') ?? '')
        response.writeHead(good ? 200 : 401).end()
        return true
      },
    }),
  )
  const crew = stack.use(await makeCrew(oauthPolicy, { 'tokens.test': tokens.port, 'api.test': api.port }))
  const get = async (child: Child): Promise<number> =>
    (await askOf(child, crew.files, { host: 'api.test', headers: { authorization: 'Bearer access-token-stub' } })).status
  const owned = stack.move()
  return { crew, get, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const many = <Each>(count: number, make: (i: number) => Promise<Each>): Promise<readonly Each[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)))

describe.skipIf(!hasRedis)('three replicas and one login of single-use tokens (skipped without redis-server)', () => {
  it('make one token call for a storm at expiry', { timeout: 120_000 }, async () => {
    const provider = new Provider({ delay: () => sleep(300) })
    await using on = await oauthCrew(provider)
    await writeSeed(on.crew.files, provider)
    const replicas = await Promise.all(['a', 'b', 'c'].map((name) => on.crew.start(name)))
    const statuses = await many(trials, (i) => on.get(replicas[i % 3] as Child))
    expect(statuses).toEqual(Array.from({ length: trials }, () => 200))
    expect([provider.calls, provider.alive]).toEqual([1, true])
    // Each has it from the store, and tells the same of policy and CA.
    for (const series of ['ironproxy_config_info{', 'ironproxy_ca_info{']) {
      const said = await Promise.all(
        replicas.map(async ({ ports }) => {
          const text = await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text()
          return text.split('\n').find((line) => line.startsWith(series))
        }),
      )
      expect(new Set(said).size).toBe(1)
      expect(said[0]).toBeDefined()
    }
  })

  it('wait for one that is stopped in the middle of its call, and nobody is logged out', { timeout: 200_000 }, async () => {
    const holding: { by?: Child } = {}
    const spent = Promise.withResolvers<void>()
    const provider = new Provider({
      delay: () => {
        holding.by?.kill('SIGSTOP')
        spent.resolve()
      },
    })
    await using on = await oauthCrew(provider)
    // Without a seed it starts idle; it is the only one there when the seed comes.
    holding.by = await on.crew.start('a')
    await writeSeed(on.crew.files, provider)
    await spent.promise
    const others = await Promise.all(['b', 'c'].map((name) => on.crew.start(name)))
    const waiting = many(10, (i) => on.get(others[i % 2] as Child))
    await sleep(whole ? 60_000 : 2_000)
    expect([provider.calls, provider.alive]).toEqual([1, true])
    holding.by.kill('SIGCONT')
    expect(await waiting).toEqual(Array.from({ length: 10 }, () => 200))
    expect(await on.get(holding.by)).toBe(200)
    expect([provider.calls, provider.alive]).toEqual([1, true])
  })

  it('refuse the late write of one that was stopped while somebody logged in anew', { timeout: 200_000 }, async () => {
    const holding: { by?: Child } = {}
    const spent = Promise.withResolvers<void>()
    const provider = new Provider({
      delay: () => {
        holding.by?.kill('SIGSTOP')
        spent.resolve()
      },
    })
    await using on = await oauthCrew(provider)
    const stopped = await on.crew.start('a')
    holding.by = stopped
    await writeSeed(on.crew.files, provider)
    await spent.promise
    delete holding.by
    const other = await on.crew.start('b')
    await writeSeed(on.crew.files, provider)
    expect(await within(async () => (await on.get(other)) === 200, 20_000)).toBeDefined()
    const rowOf = () => on.crew.redis.admin.hgetall('{iron-proxy}:grant:claude')
    const before = await rowOf()
    await sleep(whole ? 60_000 : 1_000)
    stopped.kill('SIGCONT')
    expect(await within(async () => (await on.get(stopped)) === 200, 20_000)).toBeDefined()
    expect(await rowOf()).toEqual(before)
    expect(provider.alive).toBe(true)
  })
})

const host = 'api.anthropic.com'
const budgetPolicy = (budget: string): string => `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/24}], budget: day}
  free: {from: [{cidr: 127.0.2.0/24}]}
budgets:
  day: {window: day, ${budget}}
rules:
  - {id: llm, hosts: [${host}], meter: anthropic}
`
const message = { model: 'claude-opus-4-5', max_tokens: 100_000, messages: [{ role: 'user', content: 'hello' }] }

async function budgetCrew(budget: string) {
  await using stack = new AsyncDisposableStack()
  const llm = new Llm()
  const api = stack.use(await startUpstream({ certificate: testAuthority().leaf(host), protocol: 'h1', handler: llm.handle }))
  const crew = stack.use(await makeCrew(budgetPolicy(budget), { [host]: api.port }))
  const ask = (child: Child, body: object = message) => askOf(child, crew.files, { host, path: '/v1/messages', body })
  const owned = stack.move()
  return { llm, crew, ask, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

describe.skipIf(!hasRedis)('three replicas and one budget (skipped without redis-server)', () => {
  it('spend together what one may, and one reply more at most', { timeout: 120_000 }, async () => {
    await using on = await budgetCrew('tokens: 1000')
    on.llm.with({ input: 300, output: 100 })
    const replicas = await Promise.all(['a', 'b', 'c'].map((name) => on.crew.start(name)))
    const statuses = (await many(trials, (i) => on.ask(replicas[i % 3] as Child))).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(3)
    // Who waited half a minute for its turn is told that it is busy.
    expect(statuses.filter((status) => status === 402 || status === 503)).toHaveLength(trials - 3)
    expect(on.llm.requests).toHaveLength(3)
    for (const replica of replicas) expect(await balanceOf(replica)).toMatchObject({ used: 1200, reserved: 0 })
    const used = 'ironproxy_budget_used_tokens{agent="devbot",budget="day",window="day"}'
    expect(await Promise.all(replicas.map((replica) => metricOf(replica, used)))).toEqual([1200, 1200, 1200])
  })

  it(
    'lose one in the middle of a stream: what it held is charged at its deadline, and the others go on',
    { timeout: 180_000 },
    async () => {
      await using on = await budgetCrew('tokens: 1000000')
      const [a, b] = await Promise.all([on.crew.start('a'), on.crew.start('b')])
      on.llm.with({ pieces: 2_000, pace: () => sleep(5) })
      const streaming = on.ask(a, { ...message, max_tokens: 5_000, stream: true })
      expect(await within(() => (on.llm.requests[0]?.pieces ?? 0) > 20)).toBeDefined()
      const held = (await balanceOf(b))?.reserved ?? 0
      expect(held).toBeGreaterThan(5_000)
      a.kill('SIGKILL')
      await streaming
      on.llm.with({ input: 10, output: 5 })
      expect((await on.ask(b, { ...message, max_tokens: 100 })).status).toBe(200)
      expect(await balanceOf(b)).toEqual({ used: 15, reserved: held, limit: 1_000_000 })
      if (!whole) await pass(on.crew.redis.admin)
      expect(await within(async () => (await balanceOf(b))?.used === 15 + held, 70_000)).toBeDefined()
      expect((await balanceOf(b))?.reserved).toBe(0)
      expect((await on.ask(b, { ...message, max_tokens: 100 })).status).toBe(200)
    },
  )
})

/** Plays the minute after which a hold without a sign of life is charged. */
async function pass(redis: RedisServer['admin']): Promise<void> {
  const deadlines = '{iron-proxy}:deadlines'
  for (const id of await redis.zrange(deadlines, '0', '-1')) await redis.zadd(deadlines, '1', id)
}
