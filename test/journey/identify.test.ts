import { describe, expect, it } from 'vitest'
import { identify } from '#journey/identify.ts'
import type { Owner, Owners } from '#contracts/owners.ts'
import type { Door } from '#contracts/request.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { env } from '#vault/sources/env.ts'
import { LiveVault } from '#vault/vault.ts'
import { snapshotOf } from '../kit/policy.ts'
import { addressOf, proxyAuth } from './parts.ts'

const byAddress =
  'agents: {a: {from: [{cidr: 10.0.0.0/8}]}, b: {from: [{cidr: 10.1.0.0/16}, {cidr: fd00::/8}]}}\nrules: [{id: r, hosts: [good.test]}]'
const byPassword = `
agents:
  a: {from: [{cidr: 10.0.0.1}]}
  p: {from: [{cidr: 10.0.0.2}, {proxyAuth: {username: p, password: {env: P}}}]}
  q: {from: [{proxyAuth: {username: q, password: {env: Q}}}]}
rules: [{id: r, hosts: [good.test]}]`

function who(
  snapshot: Snapshot | undefined,
  door: Door,
  address: string,
  auth?: readonly [string, string],
  owners?: Owners,
): string {
  const vault = new LiveVault([env({ P: 'password of p', Q: 'password of q' })])
  if (snapshot) vault.use(snapshot)
  const found = identify(
    { door, peer: { address: addressOf(address), port: 1 }, proxyAuth: auth && proxyAuth(...auth) },
    snapshot,
    { vault, owners, runs: { find: () => undefined, boundTo: () => undefined } },
  )
  return found.kind === 'deny' ? found.code : found.agent.id
}

describe('who speaks', () => {
  it('is nobody without a policy', () => {
    expect(who(undefined, 'https', '10.0.0.1')).toBe('no_policy')
  })

  it.each([
    ['10.2.3.4', 'a'],
    ['10.1.3.4', 'agent_ambiguous'],
    ['fd00::1', 'b'],
    ['::ffff:10.2.3.4', 'a'],
    ['192.0.2.1', 'agent_unknown'],
    ['127.0.0.1', 'agent_unknown'],
  ])('at %s is %s, at every door, and a password is no matter where nobody has one', async (address, expected) => {
    const snapshot = await snapshotOf(byAddress)
    for (const door of ['http', 'https', 'dns', 'proxy'] as const) expect(who(snapshot, door, address)).toBe(expected)
    expect(who(snapshot, 'proxy', address, ['x', 'y'])).toBe(expected)
  })

  it.each([
    ['10.0.0.1', undefined, 'a'],
    ['10.0.0.2', undefined, 'p'],
    ['10.9.9.9', undefined, 'proxy_auth_required'],
    ['10.9.9.9', ['p', 'password of p'], 'p'],
    ['10.0.0.2', ['p', 'password of p'], 'p'],
    ['10.0.0.1', ['p', 'password of p'], 'agent_ambiguous'],
    ['10.0.0.2', ['q', 'password of q'], 'agent_ambiguous'],
    ['10.9.9.9', ['p', 'password of q'], 'proxy_auth_required'],
    ['10.9.9.9', ['p', ''], 'proxy_auth_required'],
    ['10.0.0.1', ['p', 'wrong'], 'proxy_auth_required'],
    ['10.9.9.9', ['nobody', 'password of p'], 'proxy_auth_required'],
  ] as const)('at the explicit proxy, from %s with %j, is %s', async (address, auth, expected) => {
    expect(who(await snapshotOf(byPassword), 'proxy', address, auth)).toBe(expected)
  })

  it('is not asked for a password at the other doors, where it could not be given', async () => {
    const snapshot = await snapshotOf(byPassword)
    expect(who(snapshot, 'https', '10.9.9.9')).toBe('agent_unknown')
    expect(who(snapshot, 'https', '10.9.9.9', ['p', 'password of p'])).toBe('agent_unknown')
  })

  it('is asked anew of each policy', async () => {
    expect(who(await snapshotOf(byAddress), 'https', '10.2.0.1')).toBe('a')
    expect(
      who(
        await snapshotOf('agents: {other: {from: [{cidr: 10.2.0.1}]}}\nrules: [{id: r, hosts: [good.test]}]'),
        'https',
        '10.2.0.1',
      ),
    ).toBe('other')
  })
})

describe('who speaks from a pod', () => {
  const byPod = `
agents:
  a: {from: [{pod: {namespace: agents, labels: {agent: a}}}]}
  b: {from: [{pod: {namespace: agents, labels: {agent: b, tier: x}}}, {cidr: 10.1.0.0/16}]}
  c: {from: [{pod: {namespace: agents, serviceAccount: carol}}]}
  p: {from: [{proxyAuth: {username: p, password: {env: P}}}]}
rules: [{id: r, hosts: [good.test]}]`
  const pod = (labels: Record<string, string>, serviceAccount = 'default', namespace = 'agents'): Owner => ({
    kind: 'pod',
    pod: { uid: '1', name: 'one', namespace, labels, serviceAccount },
  })
  const first = { uid: '1', name: 'one', namespace: 'agents', labels: { agent: 'a' }, serviceAccount: 'default' }

  it.each<[string, Owner, string, string]>([
    ['the labels of an agent', pod({ agent: 'a', more: 'x' }), '10.0.0.1', 'a'],
    ['some of its labels', pod({ agent: 'b' }), '10.0.0.1', 'agent_unknown'],
    ['all of its labels', pod({ agent: 'b', tier: 'x' }), '10.0.0.1', 'b'],
    ['all of its labels, in its range too', pod({ agent: 'b', tier: 'x' }), '10.1.0.1', 'b'],
    ['the labels of one agent in the range of another', pod({ agent: 'a' }), '10.1.0.1', 'agent_ambiguous'],
    ['the ServiceAccount of an agent', pod({}, 'carol'), '10.0.0.1', 'c'],
    ['what two agents ask for', pod({ agent: 'a' }, 'carol'), '10.0.0.1', 'agent_ambiguous'],
    ['the labels of an agent in another namespace', pod({ agent: 'a' }, 'default', 'other'), '10.0.0.1', 'agent_unknown'],
    ['a label that every object has', pod({}, 'default'), '10.0.0.1', 'agent_unknown'],
    ['an address of its own no more', { kind: 'several', pods: [first, { ...first, uid: '2' }] }, '10.0.0.1', 'agent_ambiguous'],
    ['the address of its node', { kind: 'node' }, '10.1.0.1', 'agent_masqueraded'],
    ['an address in a range', { kind: 'nobody' }, '10.1.0.1', 'b'],
    ['an address of nobody', { kind: 'nobody' }, '10.0.0.1', 'agent_unknown'],
    ['an address nobody has yet', { kind: 'pending' }, '10.0.0.1', 'agent_pending'],
  ])('with %s is told', async (_, owner, address, expected) => {
    expect(who(await snapshotOf(byPod), 'https', address, undefined, { at: () => owner })).toBe(expected)
  })

  it('and a password must agree, where both speak', async () => {
    const snapshot = await snapshotOf(byPod)
    const right = ['p', 'password of p'] as const
    expect(who(snapshot, 'proxy', '10.0.0.1', right, { at: () => pod({ agent: 'a' }) })).toBe('agent_ambiguous')
    expect(who(snapshot, 'proxy', '10.0.0.1', right, { at: () => ({ kind: 'node' }) })).toBe('p')
    expect(who(snapshot, 'proxy', '10.0.0.1', undefined, { at: () => ({ kind: 'node' }) })).toBe('proxy_auth_required')
  })
})
