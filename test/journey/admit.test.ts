import { describe, expect, it } from 'vitest'
import { admit } from '#journey/admit.ts'
import { decide } from '#policy/decide.ts'
import { agentOf, snapshotOf } from '../kit/policy.ts'
import { headOf } from './parts.ts'

const text = `
agents: {a: {from: [{cidr: 127.0.0.1}]}, b: {from: [{cidr: 127.0.0.2}]}, w: {from: [{cidr: 127.0.0.3}], mode: report}}
credentials:
  key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [good.test, "*.zone.test"]}
  own: {kind: bearer, stub: stub-of-own, secret: {env: OWN}, hosts: [good.test], agents: [b]}
  elsewhere: {kind: bearer, stub: stub-elsewhere, secret: {env: ELSE}, hosts: [other.test]}
rules:
  - {id: odd, hosts: [good.test], paths: [/odd], plain: true, foreign: allow}
  - {id: all, hosts: [good.test, other.test, "*.zone.test"], credentials: [key, own, elsewhere]}
`

describe('an allowed request', () => {
  it.each([
    ['a', 'good.test', '/', ['key'], 'refuse'],
    ['b', 'good.test', '/', ['key', 'own'], 'refuse'],
    ['a', 'other.test', '/', ['elsewhere'], 'refuse'],
    ['a', 'sub.zone.test', '/', ['key'], 'refuse'],
    ['a', 'good.test', '/odd', [], 'allow'],
    ['w', 'good.test', '/', ['key'], 'refuse'],
    ['w', 'denied.test', '/', [], 'allow'],
  ])('of %s to %s%s may use %j', async (agent, host, path, ids, foreign) => {
    const snapshot = await snapshotOf(text)
    const head = headOf({ host, path })
    const verdict = decide(snapshot.policy, agentOf(snapshot, agent), head)
    if (verdict.kind === 'deny') throw new Error(verdict.code)
    const admission = admit(verdict, { agent: agentOf(snapshot, agent), snapshot }, head)
    expect(admission.credentials.map(({ id }) => id)).toEqual(ids)
    expect(admission.foreign).toBe(foreign)
  })

  it('over plain HTTP may use none, yet no value of the host may come back', async () => {
    const snapshot = await snapshotOf(text)
    const head = headOf({ scheme: 'http', port: 80, path: '/odd' })
    const verdict = decide(snapshot.policy, agentOf(snapshot), head)
    if (verdict.kind === 'deny') throw new Error(verdict.code)
    const admission = admit(verdict, { agent: agentOf(snapshot), snapshot }, head)
    expect(admission.credentials).toEqual([])
    expect(admission.guarded.map(({ id }) => id).toSorted()).toEqual(['key', 'own'])
  })
})
