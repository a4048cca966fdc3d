import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import type { Child } from '../kit/child.ts'
import { askOf, balanceOf, isReady, makeCrew, metricOf, writeSeed } from '../kit/crew.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
import { hasRedis, startRedis } from '../kit/redis.ts'
import { startRelay } from '../kit/relay.ts'
import { startUpstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const host = 'api.anthropic.com'
const policy = `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/24}], budget: day}
  loose: {from: [{cidr: 127.0.1.0/24}], budget: open}
  free: {from: [{cidr: 127.0.2.0/24}]}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [api.test]
budgets:
  day: {window: day, tokens: 1000000}
  open: {window: day, tokens: 1000000, whenBlind: allow}
rules:
  - {id: llm, hosts: [${host}], meter: anthropic}
  - {id: api, hosts: [api.test], credentials: [claude]}
`
const message = { model: 'claude-opus-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] }
/** More than what is set aside for one replica. */
const large = { ...message, max_tokens: 100_000 }

/** Two replicas that reach their Redis through a relay, and have each been charged once. */
async function stage() {
  await using stack = new AsyncDisposableStack()
  const llm = new Llm()
  const provider = new Provider()
  const api = stack.use(await startUpstream({ certificate: testAuthority().leaf(host), protocol: 'h1', handler: llm.handle }))
  const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
  const whoever = stack.use(
    await startUpstream({
      certificate: testAuthority().leaf('api.test'),
      protocol: 'h1',
      handler({ request, response }) {
        response.writeHead(provider.accepts(request.headers.authorization?.replace('Bearer ', '') ?? '') ? 200 : 401).end()
        return true
      },
    }),
  )
  const relay = stack.use(await startRelay(0))
  const hosts = { [host]: api.port, 'tokens.test': tokens.port, 'api.test': whoever.port }
  const crew = stack.use(await makeCrew(policy, hosts, `redis://127.0.0.1:${relay.port}/0`))
  relay.turnTo(crew.redis.port)
  await writeSeed(crew.files, provider)
  const replicas = await Promise.all([crew.start('a'), crew.start('b')])
  const [a, b] = replicas
  const ask = async (child: Child, body: object = message, from = '127.0.0.1') =>
    (await askOf(child, crew.files, { host, path: '/v1/messages', body, from })).status
  const get = async (child: Child) =>
    (await askOf(child, crew.files, { host: 'api.test', headers: { authorization: 'Bearer access-token-stub' } })).status
  for (const child of replicas) expect([await ask(child), await get(child)]).toEqual([200, 200])
  const used = async (child: Child) => (await balanceOf(child))?.used
  expect(await used(a)).toBe(220)
  // Each has something set aside by now.
  expect(await within(async () => (await crew.redis.admin.hlen((await leases(crew.redis.admin)) ?? '')) === 2)).toBeDefined()
  const owned = stack.move()
  return { crew, relay, provider, replicas, a, b, ask, get, used, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

type Stage = Awaited<ReturnType<typeof stage>>

async function leases(admin: Stage['crew']['redis']['admin']): Promise<string | undefined> {
  return (await admin.keys('{iron-proxy}:leases:*devbot*'))[0]
}

/** What nobody may notice: names, what is not metered, a login in memory, readiness. */
async function unharmed({ replicas, ask, get }: Stage): Promise<void> {
  for (const child of replicas) {
    expect(await isReady(child)).toBe(true)
    expect(await ask(child, large, '127.0.2.1')).toBe(200)
    expect(await get(child)).toBe(200)
  }
}

const blind = (child: Child, budget: string, result: string) =>
  metricOf(child, `ironproxy_budget_blind_total{budget="${budget}",result="${result}"}`)

/** All replicas see the same again, which is no less than this. */
async function agreeOn({ replicas, used }: Stage, least: number, timeout = 20_000): Promise<void> {
  const agreed = await within(async () => {
    const [one, other] = await Promise.all(replicas.map(used))
    return one !== undefined && one === other && one >= least
  }, timeout)
  expect(agreed, `${String(await Promise.all(replicas.map(used)))} and not ${least}`).toBeDefined()
}

describe.skipIf(!hasRedis)('two replicas (skipped without redis-server)', () => {
  it(
    'whose Redis is killed go on with what is set aside, then refuse; restarted empty, it is told everything',
    { timeout: 90_000 },
    async () => {
      await using on = await stage()
      const { a, b, crew } = on
      await crew.redis.kill()
      await unharmed(on)
      expect([await on.ask(a), await on.ask(b)]).toEqual([200, 200])
      expect([await blind(a, 'day', 'leased'), await blind(b, 'day', 'leased')]).toEqual([1, 1])
      expect(await on.ask(a, large)).toBe(503)
      expect(await blind(a, 'day', 'refused')).toBe(1)
      expect(await on.ask(a, large, '127.0.1.1')).toBe(200)
      expect(await blind(a, 'open', 'allowed')).toBe(1)
      expect(await metricOf(a, 'ironproxy_state_up')).toBe(0)
      expect(await metricOf(a, 'ironproxy_state_owed_charges')).toBe(2)
      await crew.redis.start()
      await agreeOn(on, 440)
      expect(await on.used(a)).toBe(440)
      expect(await on.ask(b, large)).toBe(200)
      expect(await metricOf(a, 'ironproxy_state_owed_charges')).toBe(0)
      // The login was brought back as it was, and goes on from there.
      on.provider.expireAccess()
      expect(await Promise.all(on.replicas.map(on.get))).toEqual([200, 200])
      expect(on.provider.alive).toBe(true)
    },
  )

  it('whose Redis is emptied never show less than was spent', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await on.crew.redis.admin.flushall()
    const shown: (number | undefined)[] = []
    for (let i = 0; i < 10; i += 1) {
      shown.push(...(await Promise.all(on.replicas.map(on.used))))
      await sleep(100)
    }
    expect(new Set(shown)).toEqual(new Set([220]))
    await unharmed(on)
    expect(await on.ask(on.a, large)).toBe(200)
    await agreeOn(on, 330)
  })

  it('whose Redis is paused for five seconds leave no hold behind', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await on.crew.redis.admin.call('CLIENT', 'PAUSE', '5000', 'ALL')
    await unharmed(on)
    expect(await on.ask(on.a)).toBe(200)
    expect(await blind(on.a, 'day', 'leased')).toBe(1)
    expect(await on.ask(on.b, large)).toBe(503)
    await agreeOn(on, 330)
    expect(await balanceOf(on.b)).toMatchObject({ used: 330, reserved: 0 })
    expect(await on.ask(on.b, large)).toBe(200)
  })

  it('whose Redis is slow are slow where they are metered, and nowhere else', { timeout: 60_000 }, async () => {
    await using on = await stage()
    on.relay.delay = 200
    await unharmed(on)
    expect([await on.ask(on.a, large), await on.ask(on.b, large)]).toEqual([200, 200])
    await agreeOn(on, 440)
    expect(await blind(on.a, 'day', 'leased')).toBeUndefined()
  })

  it('whose Redis is replaced by one that lags behind tell it what it lost', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await using second = await startRedis()
    await second.admin.replicaof('127.0.0.1', on.crew.redis.port)
    expect(await within(async () => (await second.admin.info('replication')).includes('master_link_status:up'))).toBeDefined()
    expect(await within(async () => (await second.admin.dbsize()) === (await on.crew.redis.admin.dbsize()))).toBeDefined()
    await second.admin.replicaof('NO', 'ONE')
    // What it never hears of: two charges, and the next pair of the login.
    expect([await on.ask(on.a), await on.ask(on.b)]).toEqual([200, 200])
    on.provider.expireAccess()
    expect(await Promise.all(on.replicas.map(on.get))).toEqual([200, 200])
    expect(await on.used(on.b)).toBe(440)
    on.relay.turnTo(second.port)
    await unharmed(on)
    await agreeOn(on, 440)
    expect(await balanceOf(on.a)).toMatchObject({ used: 440, reserved: 0 })
    // The pair that it never heard of: with the one before it, the next refresh would have ended the login.
    expect(await second.admin.hget('{iron-proxy}:grant:claude', 'generation')).toBe('3')
    expect(await Promise.all(on.replicas.map(on.get))).toEqual([200, 200])
    expect(on.provider.alive).toBe(true)
  })

  it('that start while Redis is away are ready, and begin with it when it comes', { timeout: 60_000 }, async () => {
    await using on = await stage()
    await on.crew.redis.kill()
    const late = await on.crew.start('late')
    expect(await isReady(late)).toBe(true)
    expect(await on.ask(late, large, '127.0.2.1')).toBe(200)
    expect([await on.ask(late), await on.get(late)]).toEqual([503, 503])
    await on.crew.redis.start()
    expect(await within(async () => (await on.used(late)) === 220, 20_000)).toBeDefined()
    expect(await on.ask(late)).toBe(200)
    // It looks for its login again after half a minute at most.
    expect(await within(async () => (await on.get(late)) === 200, 40_000)).toBeDefined()
    expect([on.provider.calls, on.provider.alive]).toEqual([1, true])
  })
})
