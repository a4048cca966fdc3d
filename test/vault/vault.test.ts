import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Scrubber } from '#credentials/scrub/restub.ts'
import type { Credential } from '#credentials/types.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { env } from '#vault/sources/env.ts'
import { LiveVault } from '#vault/vault.ts'
import { canary } from '../kit/credentials.ts'
import { snapshotOf } from '../kit/policy.ts'

const text = `
agents: {a: {from: [{cidr: 127.0.0.1}, {proxyAuth: {username: a, password: {env: PASSWORD}}}]}}
credentials:
  key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [good.test]}
  same: {kind: bearer, stub: stub-of-same, secret: {env: KEY}, hosts: [same.test]}
  lost: {kind: bearer, stub: stub-of-lost, secret: {env: LOST}, hosts: [lost.test]}
rules: [{id: r, hosts: [good.test, same.test, lost.test], credentials: [key, same, lost]}]`

async function holding(
  variables: Record<string, string>,
): Promise<{ vault: LiveVault; snapshot: Snapshot; of: (id: string) => Credential }> {
  const snapshot = await snapshotOf(text)
  const vault = new LiveVault([env(variables)])
  vault.use(snapshot)
  return {
    vault,
    snapshot,
    of: (id) => {
      const credential = snapshot.credentials.get(id)
      if (!credential) throw new Error(id)
      return credential
    },
  }
}

const scrubbed = (vault: LiveVault, credentials: readonly Credential[], body: string): string => {
  const patterns = vault.scrub(credentials)
  return patterns ? new Scrubber(patterns).scrubText(body) : body
}

describe('the vault', () => {
  it('says of each source what it found, and never the value', async () => {
    const value = canary()
    const variables = { KEY: ` ${value}\n`, PASSWORD: canary() }
    const vault = new LiveVault([env(variables)])
    const readings = vault.use(await snapshotOf(text))
    expect(readings).toEqual([
      { ref: 'env:KEY', result: 'new', credentials: ['key', 'same'] },
      { ref: 'env:LOST', result: 'failed', detail: 'the variable is not set', credentials: ['lost'] },
      { ref: 'env:PASSWORD', result: 'new', credentials: [] },
    ])
    expect(vault.refresh().map(({ result }) => result)).toEqual(['same', 'failed', 'same'])
    expect(inspect(vault, { depth: 9, showHidden: true }) + JSON.stringify(vault) + JSON.stringify(readings)).not.toContain(value)
  })

  it('grants a trimmed value, and none that it does not have', async () => {
    const value = canary()
    const { vault, of } = await holding({ KEY: `${value}\n` })
    expect((await vault.grant(of('key'))).secret.expose()).toBe(value)
    expect(() => vault.grant(of('lost'))).toThrow(expect.objectContaining({ code: 'credential_unavailable' }))
  })

  it('grants the new value after a rotation and never the old one, in grants, scrubbing and search', async () => {
    const [old, fresh] = [canary(), canary()]
    const variables = { KEY: old }
    const { vault, of } = await holding(variables)
    expect(scrubbed(vault, [of('key')], `x ${old}`)).toBe('x stub-of-key')
    variables.KEY = fresh
    expect((await vault.grant(of('key'))).secret.expose()).toBe(old)
    expect(vault.refresh().find(({ ref }) => ref === 'env:KEY')?.result).toBe('new')
    expect((await vault.grant(of('key'))).secret.expose()).toBe(fresh)
    expect(scrubbed(vault, [of('key')], `x ${fresh}`)).toBe('x stub-of-key')
    expect([vault.realValues().find(fresh), vault.realValues().find(old)]).toEqual(['key', undefined])
  })

  it.each(['', ' \n', 'two\nlines', 'a\0b'])('keeps the last good value when the new one is %j', async (broken) => {
    const value = canary()
    const variables = { KEY: value }
    const { vault, of } = await holding(variables)
    variables.KEY = broken
    expect(vault.refresh().find(({ ref }) => ref === 'env:KEY')).toMatchObject({ result: 'failed', credentials: ['key', 'same'] })
    expect((await vault.grant(of('key'))).secret.expose()).toBe(value)
    expect(vault.realValues().find(value)).toBe('key')
  })

  it('forgets what no policy names any more', async () => {
    const value = canary()
    const { vault, of } = await holding({ KEY: value })
    const credential = of('key')
    vault.use(await snapshotOf('rules: [{id: r, hosts: [good.test]}]'))
    expect(() => vault.grant(credential)).toThrow(expect.objectContaining({ code: 'credential_unavailable' }))
    expect([vault.realValues().find(value), vault.scrub([credential]), vault.paths()]).toEqual([undefined, undefined, []])
  })

  it('compares passwords, and takes none for right where it knows none', async () => {
    const password = canary()
    const { vault } = await holding({ PASSWORD: password })
    expect([password, `${password}x`, password.slice(1), ''].map((each) => vault.verify({ env: 'PASSWORD' }, each))).toEqual([
      true,
      false,
      false,
      false,
    ])
    expect(['', 'undefined'].map((each) => vault.verify({ env: 'LOST' }, each))).toEqual([false, false])
  })

  it('makes the search for a set of credentials once', async () => {
    const { vault, of } = await holding({ KEY: canary() })
    expect(vault.scrub([of('key')])).toBe(vault.scrub([of('key')]))
    expect(vault.scrub([of('key')])).not.toBe(vault.scrub([of('same')]))
    expect([vault.scrub([]), vault.scrub([of('lost')])]).toEqual([undefined, undefined])
  })

  it('names the files to watch', async () => {
    const snapshot = await snapshotOf(text.replace('{env: KEY}', '{file: secrets/key}'))
    const vault = new LiveVault([env({}), (await import('#vault/sources/file.ts')).file])
    expect(vault.use(snapshot)[0]).toMatchObject({ result: 'failed', detail: 'ENOENT' })
    expect(vault.paths()).toEqual([expect.stringMatching(/secrets\/key$/)])
  })
})
