/** Two replicas that reach their Redis through a relay, and what may be expected of them whatever becomes of it. */
import { expect } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import type { Child } from '../kit/child.ts'
import { askOf, balanceOf, isReady, makeCrew, metricOf, writeSeed } from '../kit/crew.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
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
export const large = { ...message, max_tokens: 100_000 }

/** Two replicas that reach their Redis through a relay, and have each been charged once. */
export async function stage() {
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
export async function unharmed({ replicas, ask, get }: Stage): Promise<void> {
  for (const child of replicas) {
    expect(await isReady(child)).toBe(true)
    expect(await ask(child, large, '127.0.2.1')).toBe(200)
    expect(await get(child)).toBe(200)
  }
}

export const blind = (child: Child, budget: string, result: string) =>
  metricOf(child, `ironproxy_budget_blind_total{budget="${budget}",result="${result}"}`)

/** All replicas see the same again, which is no less than this. */
export async function agreeOn({ replicas, used }: Stage, least: number, timeout = 20_000): Promise<void> {
  const agreed = await within(async () => {
    const [one, other] = await Promise.all(replicas.map(used))
    return one !== undefined && one === other && one >= least
  }, timeout)
  expect(agreed, `${String(await Promise.all(replicas.map(used)))} and not ${least}`).toBeDefined()
}
