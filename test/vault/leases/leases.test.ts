import { generateKeyPairSync } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { Scrubber } from '#credentials/scrub/restub.ts'
import { LiveVault } from '#vault/vault.ts'
import { canary, credential } from '../../kit/credentials.ts'
import { claude, hour, keeping, minted, minute, second, settled, snapshotWith } from '../keeping.ts'

const pat = credential('pat', { kind: 'bearer', stub: 'pat-stub', secret: { file: 'pat' }, hosts: ['api.test'] })

describe('a value that stands in a file', () => {
  test('has a new generation with each new value, and the last good one stays', async () => {
    const crew = await keeping({ credentials: [pat], first: ({ files }) => void files.set('pat', canary()) })
    const before = await crew.grant(pat)
    expect(await crew.vault.renew(before)).toBeUndefined()
    crew.files.set('pat', canary())
    crew.vault.refresh()
    const after = await crew.grant(pat)
    expect(after.generation).toBeGreaterThan(before.generation)
    expect(await crew.vault.renew(before)).toEqual(after)
    crew.files.delete('pat')
    expect(crew.vault.refresh()).toMatchObject([{ ref: 'file:pat', result: 'failed', detail: 'ENOENT', credentials: ['pat'] }])
    expect(await crew.grant(pat)).toEqual(after)
  })

  test('that a policy no longer names is forgotten', async () => {
    const crew = await keeping({ credentials: [pat], first: ({ files }) => void files.set('pat', canary()) })
    crew.vault.use(snapshotWith([]))
    expect(await crew.value(pat)).toBe('credential_unavailable')
  })
})

describe('a value that an upstream has refused', () => {
  test('is renewed by one call for all who ask', async () => {
    const crew = await keeping({ delay: () => settled() })
    const refused = await crew.grant()
    const renewed = await Promise.all(Array.from({ length: 20 }, () => crew.vault.renew(refused)))
    expect(crew.provider.calls).toBe(1)
    expect(new Set(renewed.map((grant) => grant?.generation))).toEqual(new Set([2]))
    expect(await crew.vault.renew(refused)).toMatchObject({ generation: 2 })
    expect(crew.provider.calls).toBe(1)
  })

  test('and whose successor is refused too is not renewed again at once, and ever more rarely', async () => {
    const crew = await keeping({ expiresIn: 48 * 3600, seedLife: 48 * hour })
    for (let passed = 0; passed < 60 * 60; passed += 10) {
      await crew.vault.renew(await crew.grant())
      await crew.pass(10 * second)
    }
    expect(crew.provider.calls).toBeGreaterThan(3)
    expect(crew.provider.calls).toBeLessThan(10)
  })

  test('is asked for no more often than the token endpoint can bear', async () => {
    const crew = await keeping()
    crew.provider.down = { kind: 'status', status: 503 }
    const refused = await crew.grant()
    for (let index = 0; index < 50; index += 1) expect(await crew.vault.renew(refused)).toBeUndefined()
    expect(crew.provider.calls).toBe(1)
    crew.provider.down = undefined
    await crew.pass(minute, second)
    expect(await crew.vault.renew(refused)).toMatchObject({ generation: 2 })
  })

  test('by both sides ends the login', async () => {
    const crew = await keeping()
    const refused = await crew.grant()
    crew.provider.revoke()
    await expect(crew.vault.renew(refused)).rejects.toMatchObject({ code: 'needs_login' })
    expect(await crew.value()).toBe('needs_login')
    expect(crew.provider.calls).toBe(1)
  })

  test('is renewed though an earlier call was not seen to end: there is nothing left to lose', async () => {
    const crew = await keeping()
    crew.provider.troubles.push({ kind: 'lost' })
    const refused = await crew.grant()
    expect(await crew.vault.renew(refused)).toBeUndefined()
    await crew.pass(2 * minute, second)
    expect(await crew.vault.renew(refused)).toMatchObject({ generation: 2 })
  })
})

describe('a token that is minted', () => {
  test('is had when it is first needed, once for all, and kept until it expires', async () => {
    const crew = await keeping({ credentials: [minted], delay: () => settled() })
    expect(crew.provider.calls).toBe(0)
    const values = await Promise.all(Array.from({ length: 50 }, () => crew.value(minted)))
    expect(new Set(values).size).toBe(1)
    expect(crew.provider.calls).toBe(1)
    expect(crew.store.done).toEqual([])
  })

  test('is minted ahead of expiry while it is used, and not for nobody', async () => {
    const crew = await keeping({ credentials: [minted], expiresIn: 3600 })
    const first = await crew.value(minted)
    await crew.pass(56 * minute, minute)
    expect(crew.provider.calls).toBe(2)
    expect(await crew.value(minted)).not.toBe(first)
    await crew.pass(10 * hour, minute)
    expect(crew.provider.calls).toBe(3)
    expect(await crew.value(minted)).not.toMatch(/_/)
    expect(crew.provider.calls).toBe(4)
  })

  test('is not asked for again once refused, until what it is asked with has changed', async () => {
    const crew = await keeping({ credentials: [minted], first: ({ files }) => void files.delete('client-secret') })
    expect(await crew.value(minted)).toBe('credential_unavailable')
    expect(crew.provider.calls).toBe(0)
    crew.files.set('client-secret', canary())
    crew.vault.refresh()
    await crew.pass(minute, second)
    expect(crew.provider.calls).toBe(1)
    expect(await crew.value(minted)).not.toBe('credential_unavailable')
  })
})

describe('real values', () => {
  test('of a lease are both halves, of this generation and of the one before', async () => {
    const crew = await keeping()
    const seen = async () => {
      const kept = await crew.store.read('claude')
      return [kept?.pair.access.expose() ?? '', kept?.pair.refresh?.expose() ?? '']
    }
    const [first, second] = [await seen(), await crew.vault.renew(await crew.grant()).then(seen)]
    for (const value of [...first, ...second]) expect(crew.vault.realValues().find(`x=${value}`)).toBe('claude')
    const patterns = crew.vault.scrub([claude])
    if (!patterns) throw new Error('nothing to scrub')
    const text = new Scrubber(patterns).scrubText([...first, ...second].join(' '))
    expect(text).toBe('access-stub refresh-stub access-stub refresh-stub')
    await crew.pass(hour, minute)
    expect(crew.vault.realValues().find(first[0] ?? '')).toBeUndefined()
    expect(crew.vault.realValues().find(second[0] ?? '')).toBe('claude')
  })

  test('are also what token calls are made with', async () => {
    const crew = await keeping()
    expect(crew.vault.realValues().find(crew.files.get('client-secret') ?? '')).toBe('minted')
    const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' })
    crew.files.set('client-secret', pem)
    crew.vault.refresh()
    expect(crew.vault.realValues().find(pem)).toBe('minted')
    expect(crew.vault.realValues().find(JSON.stringify(pem))).toBe('minted')
    expect(crew.vault.realValues().find('-----BEGIN PRIVATE KEY-----')).toBeUndefined()
  })
})

describe('a policy edit', () => {
  test('leaves a lease as it is', async () => {
    const crew = await keeping()
    const before = await crew.grant()
    crew.vault.use(snapshotWith([claude, minted, pat]))
    await settled()
    expect(await crew.grant()).toEqual(before)
    expect(crew.events.map(({ kind }) => kind)).toEqual(['seed_adopted'])
  })

  test('that takes a lease out stops its timers, and one that brings it back goes on where it was', async () => {
    const crew = await keeping()
    const value = await crew.value()
    crew.vault.use(snapshotWith([minted]))
    expect(await crew.value()).toBe('credential_unavailable')
    expect(crew.vault.realValues().find(value)).toBeUndefined()
    await crew.pass(57 * minute, minute)
    expect(crew.provider.calls).toBe(0)
    crew.vault.use(snapshotWith([claude]))
    expect(crew.provider.accepts(await crew.value())).toBe(true)
  })

  test('that takes a lease out and back in while its call is under way does not make a second one', async () => {
    const gate = Promise.withResolvers<void>()
    const crew = await keeping({ seedLife: 0, delay: () => gate.promise })
    crew.vault.use(snapshotWith([]))
    crew.vault.use(snapshotWith([claude]))
    const waiting = crew.value()
    await settled()
    gate.resolve()
    expect(crew.provider.accepts(await waiting)).toBe(true)
    expect(crew.provider.calls).toBe(1)
  })
})

describe('closing', () => {
  test('waits for a call that is under way, so that what it brings is kept', async () => {
    const gate = Promise.withResolvers<void>()
    const crew = await keeping({ seedLife: 0, delay: () => gate.promise })
    const closed = crew.vault.close()
    gate.resolve()
    await closed
    expect((await crew.store.read('claude'))?.generation).toBe(2)
  })

  test('does not wait forever', async () => {
    const crew = await keeping({ seedLife: 0, delay: () => Promise.withResolvers<void>().promise })
    let closed = false
    void crew.vault.close().then(() => (closed = true))
    await crew.pass(9 * second)
    expect(closed).toBe(false)
    await crew.pass(2 * second)
    expect(closed).toBe(true)
  })

  test('leaves no timer behind', async () => {
    const crew = await keeping()
    await crew.value(minted)
    await crew.vault.close()
    const made = crew.provider.calls
    await crew.pass(5 * hour, minute)
    expect(crew.provider.calls).toBe(made)
    expect(await crew.value()).toBe('credential_unavailable')
  })
})

test('without a way to call token endpoints, leases are not available and nothing else is missing', async () => {
  const value = canary()
  const vault = new LiveVault([{ owns: () => true, read: () => value, path: () => undefined }])
  vault.use(snapshotWith([pat, claude]))
  await turn()
  expect(() => vault.grant(claude)).toThrow(expect.objectContaining({ code: 'credential_unavailable' }) as Error)
  expect(await vault.grant(pat)).toMatchObject({ credential: { id: 'pat' } })
  const pair = { access: new Secret('a', value), refresh: undefined, expiresAt: undefined, scopes: undefined }
  await expect(vault.login('claude', pair)).rejects.toMatchObject({ code: 'credential_unavailable' })
})
