import { describe, expect, it } from 'vitest'
import { Cancellation } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import { exchange } from '#journey/exchange.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import type { RequestArrival, RequestBody } from '#contracts/request.ts'
import { canary } from '../kit/credentials.ts'
import { snapshotOf } from '../kit/policy.ts'
import { arrivalOf, bodyOf, Recorder, replying, valueOf, worldOf } from './parts.ts'
import type { World } from './parts.ts'

const text = `
agents: {a: {from: [{cidr: 127.0.0.1}]}, watched: {from: [{cidr: 127.0.0.3}], mode: report}}
credentials:
  key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [scoped.test]}
  lost: {kind: bearer, stub: stub-of-lost, secret: {env: LOST}, hosts: [lost.test]}
rules:
  - {id: good, hosts: [good.test]}
  - {id: scoped, hosts: [scoped.test], credentials: [key]}
  - {id: lost, hosts: [lost.test], credentials: [lost]}
`
const real = canary()

async function world(): Promise<World> {
  return worldOf(await snapshotOf(text), { KEY: real })
}

async function go(
  on: World,
  arrival: RequestArrival,
  body?: RequestBody,
  cut = new Cancellation<CutBy>(),
  client = new Recorder(),
): Promise<Recorder> {
  await exchange(arrival, body, client, cut, on.ports)
  expect(on.live.size).toBe(0)
  return client
}

const scoped = (some: Parameters<typeof arrivalOf>[0] = {}): RequestArrival =>
  arrivalOf({ host: 'scoped.test', headers: ['Host', 'scoped.test', 'Authorization', 'Bearer stub-of-key'], ...some })

describe('the journey', () => {
  it('takes a request there and its reply back, and writes one record', async () => {
    const on = await world()
    const client = await go(
      on,
      arrivalOf({
        path: '/a%2Fb',
        query: '?x=%7E',
        headers: ['host', 'GOOD.test.', 'X-Kept', '1', 'connection', 'close', 'accept-encoding', 'exi'],
      }),
      bodyOf(['up']),
    )
    expect(on.sent).toMatchObject([
      {
        head: { path: '/a%2Fb', query: '?x=%7E' },
        headers: ['host', 'good.test', 'X-Kept', '1', 'accept-encoding', 'exi'],
        credentials: [],
        decode: false,
        upgrade: false,
      },
    ])
    expect(client).toMatchObject({ status: 200, text: 'hello', proceeded: 1, aborted: 0 })
    expect(on.records).toMatchObject([
      {
        verdict: 'allow',
        agent: 'a',
        rule: 'good',
        status: 200,
        bytesUp: 2,
        bytesDown: 5,
        swaps: [],
        upstream: '192.0.2.1:443',
        event: 'exchange',
      },
    ])
  })

  it('puts the real value in place of the stub, and the stub back in its place', async () => {
    const on = await world()
    on.send = replying(`you sent ${real}`, ['x-echo', real, 'set-cookie', 'session=1'])
    const client = await go(on, scoped())
    expect(valueOf(on.sent[0]?.headers ?? [], 'authorization')).toBe(`Bearer ${real}`)
    expect(on.sent[0]).toMatchObject({ credentials: ['key'], decode: true })
    expect([client.text, client.headers]).toEqual(['you sent stub-of-key', ['x-echo', 'stub-of-key']])
    expect(on.records).toMatchObject([{ swaps: [{ credential: 'key', place: 'header:authorization' }], scrubbed: { key: 2 } }])
    expect(JSON.stringify(on.records)).not.toContain(real)
  })

  it('names the port in Host when it is not the standard one', async () => {
    const on = worldOf(await snapshotOf('rules: [{id: r, hosts: [good.test], ports: [8443]}]'))
    await go(on, arrivalOf({ port: 8443 }))
    expect(valueOf(on.sent[0]?.headers ?? [], 'host')).toBe('good.test:8443')
  })
})

describe('what is refused', () => {
  it.each([
    ['an agent nobody knows', arrivalOf({}, { from: '192.0.2.9' }), 'agent_unknown', 403],
    ['a host that no rule allows', arrivalOf({ host: 'evil.test' }), 'host_denied', 403],
    ['plain HTTP', arrivalOf({ scheme: 'http', port: 80 }), 'plain_denied', 403],
    ['a stub for another host', arrivalOf({ headers: ['authorization', 'Bearer stub-of-key'] }), 'stub_wrong_host', 403],
    ['another’s credential on a scoped host', scoped({ headers: ['authorization', 'Bearer theirs'] }), 'foreign_credential', 403],
    ['a stub that is not where it belongs', scoped({ headers: ['x-note', 'stub-of-key'] }), 'stub_misplaced', 403],
    ['a real value in a header', arrivalOf({ headers: ['x', `a ${real} b`] }), 'real_value_seen', 403],
    ['a real value in the path', arrivalOf({ path: `/${encodeURIComponent(real)}` }), 'real_value_seen', 403],
    [
      'a stub whose value cannot be had',
      arrivalOf({ host: 'lost.test', headers: ['authorization', 'Bearer stub-of-lost'] }),
      'credential_unavailable',
      503,
    ],
  ])('%s is told, recorded once, and reaches nobody', async (_name, arrival, code, status) => {
    const on = await world()
    const client = await go(on, arrival, bodyOf(['never read']))
    expect(client.status).toBe(status)
    expect(Object.keys(client.refusal)).toEqual([
      'code',
      'message',
      'agent',
      'rule',
      'host',
      'method',
      'path',
      'request_id',
      'hint',
    ])
    expect(client.refusal).toMatchObject({ code, request_id: 'id-1', host: arrival.head.host })
    expect(client.proceeded).toBe(0)
    expect(on.records).toMatchObject([{ code, status, event: 'exchange', verdict: status === 503 ? 'error' : 'deny' }])
    expect(on.sent).toEqual([])
    expect(client.text + JSON.stringify(on.records)).not.toContain(real)
  })

  it('is everything while there is no policy', async () => {
    const on = worldOf(undefined)
    expect((await go(on, arrivalOf())).refusal).toMatchObject({ code: 'no_policy' })
    expect(on.records).toMatchObject([{ verdict: 'deny', agent: null }])
  })

  it('is a body that carries a real value, when it is seen', async () => {
    const on = await world()
    const client = await go(on, arrivalOf(), bodyOf(['x', real.slice(0, 9), real.slice(9)]))
    expect(client.refusal).toMatchObject({ code: 'real_value_seen' })
    expect(on.records).toMatchObject([{ verdict: 'deny', credential: 'key' }])
    expect(on.records[0]?.bytesUp).toBeLessThan(real.length)
  })
})

describe('report mode', () => {
  it.each([
    ['a host that no rule allows', { host: 'evil.test' }, 'host_denied'],
    ['a stub for another host', { headers: ['authorization', 'Bearer stub-of-key'] }, 'stub_wrong_host'],
  ])('lets %s pass as it is, and says what it would have said', async (_name, head, code) => {
    const on = await world()
    const client = await go(on, arrivalOf(head, { from: '127.0.0.3' }))
    expect(client.status).toBe(200)
    expect(on.records).toMatchObject([{ verdict: 'would_deny', code, swaps: [], status: 200 }])
    expect(on.sent[0]?.credentials).toEqual([])
    expect(JSON.stringify(on.sent)).not.toContain(real)
  })

  it('refuses a real value all the same', async () => {
    const on = await world()
    expect((await go(on, arrivalOf({ host: 'evil.test', headers: ['x', real] }, { from: '127.0.0.3' }))).refusal).toMatchObject({
      code: 'real_value_seen',
    })
    expect(on.sent).toEqual([])
  })

  it('gives credentials where a rule does', async () => {
    const on = await world()
    await go(on, { ...scoped(), peer: arrivalOf({}, { from: '127.0.0.3' }).peer })
    expect(on.records).toMatchObject([{ verdict: 'allow', swaps: [{ credential: 'key' }] }])
  })
})

describe('what breaks', () => {
  const boom = (): never => {
    throw new Error(`boom ${real}`)
  }

  it.each<[string, (on: World) => Partial<World['ports']>]>([
    ['the policies', () => ({ policies: { current: boom } })],
    [
      'the vault, asked for a grant',
      ({ vault }) => ({
        vault: {
          grant: boom,
          renew: () => Promise.resolve(undefined),
          verify: boom,
          health: boom,
          realValues: () => vault.realValues(),
          scrub: () => undefined,
        },
      }),
    ],
    [
      'the vault, asked for the real values',
      ({ vault }) => ({
        vault: {
          grant: (each) => vault.grant(each),
          renew: () => Promise.resolve(undefined),
          verify: boom,
          health: boom,
          realValues: boom,
          scrub: () => undefined,
        },
      }),
    ],
    [
      'the vault, asked what to scrub',
      ({ vault }) => ({
        vault: {
          grant: (each) => vault.grant(each),
          renew: () => Promise.resolve(undefined),
          verify: boom,
          health: boom,
          realValues: () => vault.realValues(),
          scrub: boom,
        },
      }),
    ],
    ['the upstream', ({ ports }) => ({ upstream: { ...ports.upstream, send: boom } })],
  ])('%s is a 500 without a word of why, and one record', async (_name, break_) => {
    const on = await world()
    const client = new Recorder()
    await exchange(scoped(), undefined, client, new Cancellation(), { ...on.ports, ...break_(on) })
    expect([client.status, client.refusal['code']]).toEqual([500, 'internal'])
    expect(on.records).toMatchObject([{ verdict: 'error', code: 'internal', status: 500 }])
    expect(client.text + JSON.stringify(on.records)).not.toMatch(/boom/)
    expect(on.live.size).toBe(0)
  })

  it('at the host is a 502 before the reply, and a reply broken off after its head', async () => {
    const on = await world()
    on.send = () => Promise.reject(new ProxyError('upstream_reset'))
    expect(await go(on, arrivalOf())).toMatchObject({ status: 502, aborted: 0 })
    on.send = async (_outbound, _body, sink) => {
      sink.head(200, [])
      sink.data(Buffer.from('some'))
      throw new ProxyError('upstream_reset')
    }
    expect(await go(on, arrivalOf())).toMatchObject({ status: 200, aborted: 1, trailers: undefined })
    expect(on.records).toMatchObject([
      { status: 502, verdict: 'error' },
      { status: 200, verdict: 'error', code: 'upstream_reset', bytesDown: 4 },
    ])
  })

  it.each([
    ['agent', 'client_closed'],
    ['policy', 'policy_changed'],
    ['shutdown', 'shutting_down'],
  ] as const)('because of the %s is broken off and says so', async (by, code) => {
    const on = await world()
    const cut = new Cancellation<CutBy>()
    on.send = async (_outbound, _body, sink) => {
      sink.head(200, [])
      cut.cut(by)
      throw new ProxyError('upstream_reset')
    }
    expect(await go(on, arrivalOf(), undefined, cut)).toMatchObject({ aborted: 1 })
    expect(on.records).toMatchObject([{ code, verdict: 'allow' }])
  })
})

describe('what runs long', () => {
  it('is refused by a policy that no longer allows it, and only then', async () => {
    const on = await world()
    const cut = new Cancellation<CutBy>()
    on.send = async (_outbound, _body, sink) => {
      sink.head(200, [])
      on.live.redecide(on.live.present(), await snapshotOf(text))
      expect(cut.by).toBeUndefined()
      on.live.redecide(on.live.present(), await snapshotOf(text.replace('hosts: [good.test]', 'hosts: [other.test]')))
      throw new ProxyError('client_closed')
    }
    await go(on, arrivalOf(), undefined, cut)
    expect(cut.by).toBe('policy')
    expect(on.records).toMatchObject([{ code: 'policy_changed' }])
  })
})

describe('an upgrade', () => {
  it('is recorded when it opens and when it closes', async () => {
    const on = await world()
    const socket = undefined as never
    on.send = () => ({ address: '192.0.2.1:443', upgraded: { headers: ['sec-websocket-accept', 'x', 'x-echo', real], socket } })
    const client = new Recorder()
    client.onRelay = async () => {
      expect(on.records).toMatchObject([{ event: 'open', status: 101 }])
      return { bytesUp: 3, bytesDown: 4 }
    }
    await go(on, { ...scoped(), kind: 'upgrade' }, undefined, undefined, client)
    expect(client.relayed?.headers).toEqual(['sec-websocket-accept', 'x', 'x-echo', 'stub-of-key'])
    expect(on.records).toMatchObject([
      { event: 'open', type: 'upgrade' },
      { event: 'close', type: 'upgrade', bytesUp: 3, bytesDown: 4, verdict: 'allow', code: undefined },
    ])
  })

  it('that the host declines is an ordinary exchange', async () => {
    const on = await world()
    expect(await go(on, { ...arrivalOf(), kind: 'upgrade' })).toMatchObject({ status: 200, relayed: undefined })
    expect(on.sent[0]?.upgrade).toBe(true)
    expect(on.records).toMatchObject([{ event: 'exchange', type: 'upgrade', status: 200 }])
  })

  it('that is cut says by whom', async () => {
    const on = await world()
    const cut = new Cancellation<CutBy>()
    on.send = () => ({ address: '', upgraded: { headers: [], socket: undefined as never } })
    const client = new Recorder()
    client.onRelay = async () => {
      cut.cut('shutdown')
      return { bytesUp: 1, bytesDown: 1 }
    }
    await go(on, { ...arrivalOf(), kind: 'upgrade' }, undefined, cut, client)
    expect(on.records).toMatchObject([{ event: 'open' }, { event: 'close', code: 'shutting_down', bytesUp: 1 }])
  })
})
