import { describe, expect, it } from 'vitest'
import { Cancellation } from '#base/async.ts'
import { judgeTunnel, recordBroken } from '#journey/tunnel.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import type { TunnelArrival } from '#contracts/request.ts'
import { hostOf, snapshotOf } from '../kit/policy.ts'
import { addressOf, worldOf } from './parts.ts'

const text = `
agents: {a: {from: [{cidr: 127.0.0.1}]}, w: {from: [{cidr: 127.0.0.3}], mode: report}}
rules: [{id: good, hosts: [good.test]}, {id: pinned, hosts: [pinned.test], inspect: false}]`

function tunnel(host: string, from = '127.0.0.1', port = 443): TunnelArrival {
  return {
    kind: 'tunnel',
    door: 'proxy',
    peer: { address: addressOf(from), port: 1 },
    target: { scheme: 'https', host: hostOf(host), port },
  }
}

describe('a tunnel', () => {
  it.each([
    ['good.test', '127.0.0.1', 'inspect', 'a'],
    ['pinned.test', '127.0.0.1', 'splice', 'a'],
    ['evil.test', '127.0.0.1', 'deny', 'a'],
    ['evil.test', '127.0.0.3', 'inspect', 'w'],
    ['good.test', '192.0.2.1', 'deny', undefined],
  ])('to %s from %s: %s', async (host, from, kind, agent) => {
    expect(judgeTunnel(tunnel(host, from), worldOf(await snapshotOf(text)).ports)).toMatchObject({ kind, agent })
  })

  it('that is denied has one record, and a reply for who can read it', async () => {
    const on = worldOf(await snapshotOf(text))
    const pass = judgeTunnel(tunnel('good.test', '127.0.0.1', 22), on.ports)
    if (pass.kind !== 'deny') throw new Error(pass.kind)
    const reply = pass.tunnel.deny(pass.denial)
    expect(reply.status).toBe(403)
    expect(JSON.parse(reply.body.toString())).toMatchObject({
      error: { code: 'port_denied', method: 'CONNECT', host: 'good.test', agent: 'a', request_id: pass.tunnel.id },
    })
    expect(on.records).toMatchObject([{ id: pass.tunnel.id, event: 'exchange', verdict: 'deny', status: 403 }])
  })

  it('that opens also closes, and is asked again while it runs', async () => {
    const on = worldOf(await snapshotOf(text))
    const pass = judgeTunnel(tunnel('pinned.test'), on.ports)
    const cut = new Cancellation<CutBy>()
    pass.tunnel.open()
    const leave = pass.tunnel.live(cut)
    on.live.redecide(on.live.present(), await snapshotOf(text))
    expect(cut.by).toBeUndefined()
    on.live.redecide(on.live.present(), await snapshotOf('rules: [{id: r, hosts: [good.test]}]'))
    expect(cut.by).toBe('policy')
    leave()
    pass.tunnel.close({ kind: 'aborted', by: 'policy' }, { bytesUp: 1, bytesDown: 2 }, '192.0.2.1:443')
    expect(on.records).toMatchObject([
      { event: 'open', rule: 'pinned' },
      { event: 'close', code: 'policy_changed', bytesUp: 1, bytesDown: 2, upstream: '192.0.2.1:443' },
    ])
    expect(on.live.size).toBe(0)
  })
})

describe('what could not be read', () => {
  it.each([
    ['127.0.0.1', 'a'],
    ['192.0.2.1', null],
  ])('from %s is recorded once, as %s', async (from, agent) => {
    const on = worldOf(await snapshotOf(text))
    const reply = recordBroken(
      {
        kind: 'broken',
        door: 'http',
        peer: { address: addressOf(from), port: 1 },
        code: 'bad_host',
        detail: 'why',
        protocol: 'http/1.1',
      },
      on.ports,
    )
    expect(reply.status).toBe(400)
    expect(on.records).toMatchObject([{ agent, code: 'bad_host', reason: 'why', verdict: 'deny', status: 400 }])
  })
})
