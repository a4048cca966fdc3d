import { describe, expect, it } from 'vitest'
import { identify } from '#journey/identify.ts'
import type { Door, Snapshot } from '#journey/types.ts'
import { env } from '#vault/sources/env.ts'
import { Vault } from '#vault/vault.ts'
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

function who(snapshot: Snapshot | undefined, door: Door, address: string, auth?: readonly [string, string]): string {
  const vault = new Vault([env({ P: 'password of p', Q: 'password of q' })])
  if (snapshot) vault.use(snapshot)
  const found = identify(
    { door, peer: { address: addressOf(address), port: 1 }, proxyAuth: auth && proxyAuth(...auth) },
    snapshot,
    { vault, runs: { find: () => undefined, boundTo: () => undefined } },
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
