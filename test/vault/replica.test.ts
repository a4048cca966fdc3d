import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Scrubber } from '#credentials/scrub/restub.ts'
import type { Credential } from '#credentials/types.ts'
import { VaultReplica } from '#vault/replica.ts'
import type { VaultLine } from '#vault/replica.ts'
import { env } from '#vault/sources/env.ts'
import { LiveVault } from '#vault/vault.ts'
import { ManualClock } from '../kit/clock.ts'
import { canary } from '../kit/credentials.ts'
import { snapshotOf } from '../kit/policy.ts'

const text = `
agents: {a: {from: [{cidr: 127.0.0.1}, {proxyAuth: {username: a, password: {env: PASSWORD}}}]}}
credentials:
  key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [good.test]}
  aws: {kind: aws-sigv4, stub: AKIASTUBSTUBSTUBSTUB, session: {env: SESSION}, regions: [us-east-1], services: [s3], hosts: [s3.us-east-1.amazonaws.com]}
  lost: {kind: bearer, stub: stub-of-lost, secret: {env: LOST}, hosts: [lost.test]}
  claude:
    kind: oauth2
    stubs: {access: access-stub, refresh: refresh-stub}
    grant: {env: SEED}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [api.test]
rules: [{id: r, hosts: [good.test, lost.test, api.test], credentials: [key, lost, claude]}]`

function session(): string {
  return JSON.stringify({ AccessKeyId: `ASIA${canary()}`, SecretAccessKey: canary(), SessionToken: canary() })
}

/** A vault, its copy as it comes out of a message, and what the copy has asked for. */
async function stage(line: Partial<VaultLine> = {}) {
  const variables: Record<string, string> = { KEY: canary(), PASSWORD: canary(), SEED: canary(), SESSION: session() }
  const snapshot = await snapshotOf(text)
  const vault = new LiveVault([env(variables)])
  vault.use(snapshot)
  const clock = new ManualClock()
  const asked: string[] = []
  const copy = new VaultReplica(
    {
      grant: async (id) => {
        asked.push(id)
        return { name: id, value: canary(), generation: asked.length }
      },
      renew: async (id, generation) => {
        asked.push(`${id} ${generation}`)
        return { name: id, value: canary(), generation: generation + 1 }
      },
      ...line,
    },
    clock,
  )
  const sync = () => copy.take(structuredClone(vault.image()))
  sync()
  const of = (id: string): Credential => snapshot.credentials.get(id) as Credential
  return { variables, vault, copy, clock, asked, sync, of }
}

describe('a copy of the vault', () => {
  it('gives, verifies, finds and scrubs as the vault does', async () => {
    const { variables, vault, copy, of } = await stage()
    const { KEY = '', PASSWORD = '' } = variables
    expect(copy.grant(of('key'))).toEqual(vault.grant(of('key')))
    expect(() => copy.grant(of('lost'))).toThrow('the real value of lost is not available')
    expect([copy.health(of('key')), copy.health(of('lost'))]).toEqual(['ok', 'unavailable'])
    expect([PASSWORD, KEY, ''].map((each) => copy.verify({ env: 'PASSWORD' }, each))).toEqual([true, false, false])
    expect(copy.verify({ env: 'NONE' }, '')).toBe(false)
    expect(copy.realValues().find(`x${KEY}x`)).toBe('key')
    const patterns = copy.scrub([of('key')])
    expect(patterns && new Scrubber(patterns).scrubText(`it is ${KEY}.`)).toBe('it is stub-of-key.')
    expect(copy.scrub([])).toBeUndefined()
    expect(copy.scrub([of('lost')])).toBeUndefined()
  })

  it('gives what goes with a value', async () => {
    const { vault, copy, of } = await stage()
    const granted = await copy.grant(of('aws'))
    expect(Object.keys(granted.companions ?? {})).not.toEqual([])
    expect(granted).toEqual(vault.grant(of('aws')))
  })

  it('has nothing that only token calls need', async () => {
    const { variables, vault } = await stage()
    const told = vault.image().values.map(([, value]) => value)
    expect(told).toEqual(expect.arrayContaining([variables['KEY'], variables['PASSWORD']]))
    expect(told).not.toContain(variables['SEED'])
  })

  it('takes over a new value, and tells a refused one from it', async () => {
    const { variables, vault, copy, of, sync } = await stage()
    const before = await copy.grant(of('key'))
    expect(await copy.renew(before)).toBeUndefined()
    const old = variables['KEY'] ?? ''
    variables['KEY'] = canary()
    vault.refresh()
    sync()
    expect((await copy.renew(before))?.secret.expose()).toBe(variables['KEY'])
    expect(copy.realValues().find(old)).toBeUndefined()
    expect(copy.realValues().find(variables['KEY'])).toBe('key')
  })

  it('asks for a lease once for all who want it at once, and again after a second or a change', async () => {
    const { copy, clock, asked, of, sync } = await stage()
    const claude = of('claude')
    const [one, other] = await Promise.all([copy.grant(claude), copy.grant(claude)])
    expect(one).toEqual(other)
    expect(await copy.grant(claude)).toEqual(one)
    expect(asked).toEqual(['claude'])
    clock.advance(1_000)
    await copy.grant(claude)
    expect(asked).toHaveLength(2)
    sync()
    const latest = await copy.grant(claude)
    expect(asked).toHaveLength(3)
    const renewed = await Promise.all([copy.renew(latest), copy.renew(latest)])
    expect(renewed.map((each) => each?.generation)).toEqual([latest.generation + 1, latest.generation + 1])
    expect(asked.slice(3)).toEqual([`claude ${latest.generation}`])
  })

  it('gives a lease no longer than the vault would', async () => {
    const { copy, clock, of } = await stage({
      grant: async (id) => ({ name: id, value: canary(), generation: 1, until: clock.now() + 200 }),
    })
    const one = await copy.grant(of('claude'))
    clock.advance(199)
    expect(await copy.grant(of('claude'))).toEqual(one)
    clock.advance(1)
    expect((await copy.grant(of('claude'))).secret.expose()).not.toBe(one.secret.expose())
  })

  it('keeps no answer that was overtaken by a change', async () => {
    const gate = Promise.withResolvers<void>()
    let calls = 0
    const { copy, of, sync } = await stage({
      grant: async (id) => {
        calls += 1
        await gate.promise
        return { name: id, value: 'old-old-old', generation: calls }
      },
    })
    const under = copy.grant(of('claude'))
    sync()
    gate.resolve()
    await under
    await copy.grant(of('claude'))
    expect(calls).toBe(2)
  })

  it('passes on why there is none', async () => {
    const { copy, of } = await stage({ grant: () => Promise.reject(new Error('the login has ended')) })
    await expect(copy.grant(of('claude'))).rejects.toThrow('the login has ended')
  })

  it('prints nothing of it', async () => {
    const { variables, copy, of } = await stage()
    const printed = inspect([copy, await copy.grant(of('key')), copy.realValues()], { depth: 9, showHidden: true })
    expect(printed).not.toContain(variables['KEY'])
  })
})
