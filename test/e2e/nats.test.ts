import { describe, expect, it } from 'vitest'
import { hasNats, startNats } from '../kit/nats.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const policyOf = (more = ''): string => `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  service: {kind: bearer, stub: proxy-token-service, secret: {file: secrets/service}, hosts: [good.test]}
rules:
  - {id: good, hosts: [good.test], credentials: [service]}
${more}`

const stage = (url: string) =>
  scenario({
    policy: policyOf(),
    secrets: ['service'],
    upstreams: {
      good: { hosts: ['good.test'], start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }) },
    },
    settings: { audit: { nats: { url } } },
  })

// Why it may be skipped: this machine has no nats-server.
describe.skipIf(!hasNats)('audit.nats', () => {
  it('has every audit record once as an event, and policies, with no real value in any', async () => {
    await using nats = await startNats()
    await using s = await stage(nats.url)
    await s.curl('connect', 'https://good.test/one', ['-H', 'authorization: Bearer proxy-token-service'])
    await s.curl('connect', 'https://denied.test/')
    expect(await s.editPolicy(policyOf('  - {id: more, hosts: [more.test]}\n'))).toBe(true)
    await s.files.writePolicy('version: 2\n')
    const arrived = async () => (await nats.messages('SWARM_EVENTS')).some(({ subject }) => subject.endsWith('_rejected'))
    expect(await within(arrived)).toBeDefined()
    const messages = await nats.messages('SWARM_EVENTS')
    expect(messages.map(({ subject }) => subject.replace('swarm.events.egress_', ''))).toEqual([
      'policy_reloaded',
      'tunnel',
      'request',
      'tunnel',
      'denied',
      'policy_reloaded',
      'policy_rejected',
    ])
    const published = messages.map(({ body }) => body['data'] as { id: string; event: string; type: string })
    const written = s.audit.map(({ id, event }) => `${id} ${event}`)
    expect(published.filter(({ type }) => type !== 'policy').map(({ id, event }) => `${id} ${event}`)).toEqual(written)
    s.readable('NATS', JSON.stringify(messages))
    expect(await s.canaryFoundIn()).toEqual([])
  })

  it('that is gone changes nothing for agents, is counted, and has what was kept once it is back', async () => {
    await using nats = await startNats()
    await using s = await stage(nats.url)
    const ask = async (path: string) => (await s.curl('connect', `https://good.test${path}`)).status
    expect(await ask('/before')).toBe(200)
    expect(await within(async () => (await nats.messages('SWARM_EVENTS')).length >= 3)).toBeDefined()
    await nats.kill()
    expect(await ask('/meanwhile')).toBe(200)
    expect(
      await within(async () => /ironproxy_audit_events_total\{sink="nats",result="error"\} [1-9]/.test(await s.metrics())),
    ).toBeDefined()
    expect(await s.metrics()).toMatch(/ironproxy_audit_queue_depth\{sink="nats"\} [1-9]/)
    expect((await fetch(`http://127.0.0.1:${s.ports.metrics}/readyz`)).status).toBe(200)
    expect(await s.audited({ path: '/meanwhile' })).toMatchObject({ verdict: 'allow' })
    await nats.restart()
    const paths = async () => (await nats.messages('SWARM_EVENTS')).map(({ body }) => (body['data'] as { path?: string }).path)
    expect(await within(async () => (await paths()).includes('/meanwhile'))).toBeDefined()
    expect((await paths()).filter((path) => path === '/before')).toHaveLength(1)
  })

  it('that was never there does not keep the proxy from starting, serving and stopping', async () => {
    await using s = await stage('nats://127.0.0.1:1')
    expect((await s.curl('connect', 'https://good.test/')).status).toBe(200)
    expect(await s.audited({ type: 'request' })).toMatchObject({ verdict: 'allow' })
  })
})
