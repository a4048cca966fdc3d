import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { findLeaks } from '../../kit/canary.ts'
import { hour, keeping, minute, second, seedOf, settled } from '../keeping.ts'

const pairOf = ({ access, refresh }: { readonly access: string; readonly refresh: string }) => ({
  access: new Secret('access', access),
  refresh: new Secret('refresh', refresh),
  expiresAt: undefined,
  scopes: undefined,
})

describe('200 requests at once when the token has expired', () => {
  test('are served by one call, and the new pair is on disk before the first of them', async () => {
    const order: string[] = []
    const crew = await keeping({ seedLife: hour, delay: () => settled() })
    await crew.value()
    crew.store.before = (operation) => void order.push(operation)
    crew.clock.advance(hour)
    const values = await Promise.all(
      Array.from({ length: 200 }, () =>
        crew.value().then((value) => {
          order.push('used')
          return value
        }),
      ),
    )
    expect(crew.provider.calls).toBe(1)
    expect(new Set(values).size).toBe(1)
    expect(crew.provider.accepts(values[0] ?? '')).toBe(true)
    expect(order.slice(0, 4)).toEqual(['read', 'begin', 'commit', 'used'])
    expect(crew.store.done).toEqual(['login', 'begin', 'commit'])
    expect((await crew.store.read('claude'))?.pair.access.expose()).toBe(values[0])
  })

  test('are served though whoever came first has gone', async () => {
    const gate = Promise.withResolvers<void>()
    const crew = await keeping({ seedLife: 0, delay: () => gate.promise })
    // A client that goes away stops waiting, and that is all it can do.
    void Promise.race([crew.grant(), Promise.resolve('gone')])
    await settled()
    gate.resolve()
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect(crew.provider.calls).toBe(1)
  })
})

describe('ahead of expiry', () => {
  test('the pair is renewed though nobody asks, and before it is stale for long', async () => {
    const crew = await keeping({ expiresIn: 3600 })
    const first = await crew.value()
    await crew.pass(54 * minute, minute)
    expect(crew.provider.calls).toBe(0)
    await crew.pass(2 * minute, minute)
    expect(crew.provider.calls).toBe(1)
    expect(await crew.value()).not.toBe(first)
    await crew.pass(8 * hour, minute)
    expect(crew.provider.calls).toBeGreaterThanOrEqual(8)
    expect(crew.provider.calls).toBeLessThanOrEqual(10)
    expect(crew.provider.alive).toBe(true)
  })

  test('a stale pair is served at once while the next is on its way', async () => {
    const gate = Promise.withResolvers<void>()
    const crew = await keeping({ delay: () => gate.promise })
    const first = await crew.value()
    crew.clock.advance(57 * minute)
    expect(await crew.value()).toBe(first)
    await settled()
    expect(crew.provider.calls).toBe(1)
    gate.resolve()
    await settled()
    expect(await crew.value()).not.toBe(first)
  })

  test.each([20, 60, 240])('a token that lives for %i seconds is not renewed all the time', async (expiresIn) => {
    const crew = await keeping({ expiresIn, seedLife: 0 })
    await crew.value()
    for (let passed = 0; passed < 20 * expiresIn; passed += 1) {
      await crew.pass(second)
      expect(crew.provider.accepts(await crew.value())).toBe(true)
    }
    expect(crew.provider.calls).toBeLessThanOrEqual(45)
  })

  test.each([0, -1, 'x', 1e12])('an expiry of %s is none: the token is used until it is refused', async (expiresIn) => {
    const crew = await keeping({ expiresIn, seedLife: 0 })
    await crew.value()
    await crew.pass(48 * hour, hour)
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect(crew.provider.calls).toBe(1)
  })
})

describe('while the token endpoint is down', () => {
  test.each([
    ['answers 503', { kind: 'status', status: 503 }],
    ['answers 429', { kind: 'status', status: 429 }],
    ['answers with a page', { kind: 'html', status: 200 }],
    ['refuses connections', { kind: 'unsent', code: 'upstream_unreachable' }],
    ['never answers', { kind: 'lost' }],
  ] as const)('and %s, requests go on until the token is dead, then fail clearly, then go on by themselves', async (_, down) => {
    const crew = await keeping()
    const first = await crew.value()
    crew.provider.down = down
    for (let passed = 0; passed < 59; passed += 1) {
      await crew.pass(minute)
      expect(await crew.value()).toBe(first)
    }
    await crew.pass(40 * second)
    expect(await crew.value()).toBe('credential_unavailable')
    await crew.pass(10 * minute, second)
    expect(await crew.value()).toBe('credential_unavailable')
    expect(crew.provider.attempts).toBeLessThan(60)
    crew.provider.down = undefined
    await crew.pass(90 * second, second)
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect(crew.events.map(({ kind }) => kind)).not.toContain('needs_login')
    expect((await crew.store.read('claude'))?.inFlightSince).toBeUndefined()
  })

  test('it is left alone for as long as it asks', async () => {
    const down = { kind: 'status', status: 429, retryAfter: 10 * minute } as const
    const crew = await keeping({ seedLife: 0, first: ({ provider }) => void (provider.down = down) })
    expect(await crew.value()).toBe('credential_unavailable')
    const made = crew.provider.calls
    await crew.pass(9 * minute, 10 * second)
    expect(await crew.value()).toBe('credential_unavailable')
    expect(crew.provider.calls).toBe(made)
    crew.provider.down = undefined
    await crew.pass(minute + second, second)
    expect(crew.provider.accepts(await crew.value())).toBe(true)
  })

  test('waits grow to five minutes and no further', async () => {
    const crew = await keeping({ seedLife: 48 * hour })
    crew.provider.down = { kind: 'status', status: 503 }
    await crew.value()
    const { generation } = await crew.grant()
    await crew.vault.renew(await crew.grant())
    await crew.pass(5 * hour, 10 * second)
    expect((await crew.grant()).generation).toBe(generation)
    expect(crew.provider.calls).toBeGreaterThan(60)
    expect(crew.provider.calls).toBeLessThan(130)
  })
})

describe('a refusal of the token endpoint', () => {
  test('is final: told once, never asked again, and what lives is used while it lives', async () => {
    const crew = await keeping()
    const first = await crew.value()
    crew.provider.revoke()
    await crew.pass(56 * minute, minute)
    expect(crew.provider.calls).toBe(1)
    expect(await crew.value()).toBe(first)
    await crew.pass(24 * hour, minute)
    expect(await crew.value()).toBe('needs_login')
    expect(crew.provider.calls).toBe(1)
    expect(crew.events.filter(({ kind }) => kind === 'needs_login')).toMatchObject([
      { credential: 'claude', detail: 'invalid_grant' },
    ])
    expect(crew.vault.status()).toMatchObject([
      { id: 'claude', needsLogin: 'invalid_grant', lastRefresh: { result: 'needs_login' } },
      { id: 'minted' },
    ])
  })

  test('stays final after a restart', async () => {
    const crew = await keeping({ seedLife: 0, first: ({ provider }) => provider.revoke() })
    expect(await crew.value()).toBe('needs_login')
    const after = await crew.beside()
    expect(await after.value()).toBe('needs_login')
    await after.pass(hour, minute)
    expect(crew.provider.calls).toBe(1)
    expect(after.events.map(({ kind }) => kind)).toEqual(['adopted', 'needs_login'])
  })

  test('ends with a login', async () => {
    const crew = await keeping({ seedLife: 0, first: ({ provider }) => provider.revoke() })
    expect(await crew.value()).toBe('needs_login')
    const login = crew.provider.login()
    expect(await crew.vault.login('claude', pairOf(login))).toBe(2)
    expect(await crew.value()).toBe(login.access)
    expect(crew.vault.status()[0]).not.toHaveProperty('needsLogin')
  })

  test('ends with a login at another replica', async () => {
    const crew = await keeping({ seedLife: 0, first: ({ provider }) => provider.revoke() })
    expect(await crew.value()).toBe('needs_login')
    const login = crew.provider.login()
    await crew.store.login('claude', pairOf(login), crew.clock.now())
    await crew.pass(second)
    expect(await crew.value()).toBe(login.access)
  })

  test('ends with a new seed, and not with the old one', async () => {
    const crew = await keeping({ seedLife: 0, first: ({ provider }) => provider.revoke() })
    expect(await crew.value()).toBe('needs_login')
    crew.vault.refresh()
    await settled()
    expect(await crew.value()).toBe('needs_login')
    crew.files.set('seed', seedOf(crew.provider.login(), crew.clock.now() + hour))
    crew.vault.refresh()
    await settled()
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect(crew.provider.calls).toBe(1)
    expect(crew.events.map(({ kind }) => kind)).toEqual(['seed_adopted', 'needs_login', 'seed_adopted'])
  })
})

describe('a login while a call is under way', () => {
  test.each([
    ['granted', false],
    ['refused', true],
  ])('stands, and the pair that is %s is of the past', async (_, revoked) => {
    const gate = Promise.withResolvers<void>()
    const crew = await keeping({ seedLife: 0, delay: () => gate.promise })
    const waiting = crew.value()
    await settled()
    if (revoked) crew.provider.revoke()
    const login = crew.provider.login()
    expect(await crew.vault.login('claude', pairOf(login))).toBe(2)
    gate.resolve()
    expect(await waiting).toBe(login.access)
    expect((await crew.store.read('claude'))?.pair.access.expose()).toBe(login.access)
    expect(crew.events.map(({ kind }) => kind)).toEqual(['seed_adopted', 'adopted'])
    expect(crew.provider.calls).toBe(1)
  })
})

describe('a seed', () => {
  test('is taken once, and never again after a restart', async () => {
    const crew = await keeping({ seedLife: 0 })
    const value = await crew.value()
    const after = await crew.beside()
    expect(await after.value()).toBe(value)
    expect(crew.store.done.filter((each) => each === 'login')).toHaveLength(1)
    expect(crew.provider.calls).toBe(1)
  })

  test('that changes is a login, also when it changed while nobody looked', async () => {
    const crew = await keeping()
    await crew.value()
    const login = crew.provider.login()
    crew.files.set('seed', seedOf(login, crew.clock.now() + hour))
    const after = await crew.beside()
    expect(await after.value()).toBe(login.access)
    expect((await after.grant()).generation).toBe(2)
  })

  test('that cannot be read as one changes nothing, and is told', async () => {
    const crew = await keeping()
    const value = await crew.value()
    crew.files.set('seed', 'half a {')
    crew.vault.refresh()
    await settled()
    expect(await crew.value()).toBe(value)
    expect(crew.events.at(-1)).toMatchObject({
      kind: 'refresh_failed',
      detail: expect.stringContaining('not a JSON object') as string,
    })
  })

  test('may be gone once it was taken', async () => {
    const crew = await keeping()
    const value = await crew.value()
    crew.files.delete('seed')
    expect(crew.vault.refresh().filter(({ result }) => result === 'failed')).toEqual([])
    const after = await crew.beside()
    expect(await after.value()).toBe(value)
  })

  test('that was never there leaves a credential to log in to', async () => {
    const crew = await keeping({ first: ({ files }) => void files.delete('seed') })
    expect(await crew.value()).toBe('needs_login')
    expect(crew.vault.status()[0]).toMatchObject({ generation: undefined, needsLogin: 'there is no login yet' })
    const login = crew.provider.login()
    await crew.vault.login('claude', pairOf(login))
    expect(await crew.value()).toBe(login.access)
  })
})

describe('when a call was not seen to end', () => {
  test('the token is used while it lives, then the old pair is shown once more, and a refusal is final', async () => {
    const crew = await keeping()
    const first = await crew.value()
    crew.provider.troubles.push({ kind: 'dropped' })
    await crew.pass(59 * minute, minute)
    expect(crew.provider.calls).toBe(1)
    expect(await crew.value()).toBe(first)
    await crew.pass(24 * hour, minute)
    expect(crew.provider.calls).toBe(2)
    expect(await crew.value()).toBe('needs_login')
  })

  test('and the pair was not spent, it is renewed as if nothing had been', async () => {
    const crew = await keeping()
    crew.provider.troubles.push({ kind: 'lost' })
    await crew.pass(2 * hour, minute)
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect(crew.provider.alive).toBe(true)
  })

  test('an answer to the attempt that follows does not make it certain: the mark stays until there is a pair', async () => {
    const crew = await keeping()
    crew.provider.troubles.push({ kind: 'lost' }, { kind: 'status', status: 503 })
    await crew.pass(59 * minute + 40 * second, 10 * second)
    expect(await crew.value()).toBe('credential_unavailable')
    expect(crew.provider.attempts).toBe(2)
    expect((await crew.store.read('claude'))?.inFlightSince).toBeDefined()
    await crew.pass(2 * minute, second)
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect((await crew.store.read('claude'))?.inFlightSince).toBeUndefined()
  })

  test('a reply that says yes and cannot be read counts as one', async () => {
    const crew = await keeping()
    const first = await crew.value()
    crew.provider.troubles.push({ kind: 'garbled' })
    await crew.pass(59 * minute, minute)
    expect(crew.provider.calls).toBe(1)
    expect(await crew.value()).toBe(first)
    expect((await crew.store.read('claude'))?.inFlightSince).toBeDefined()
  })

  test.each([
    ['before the call arrived', false],
    ['after the pair was spent', true],
  ])('because the process was killed %s, there is one attempt at most, when the token is dead', async (_, spent) => {
    const crew = await keeping()
    const first = await crew.value()
    await crew.store.begin('claude', 1, crew.clock.now())
    if (spent) await spend(crew)
    const before = crew.provider.calls
    await crew.vault.close()
    const after = await crew.beside()
    await after.pass(59 * minute, minute)
    expect(await after.value()).toBe(first)
    expect(crew.provider.calls).toBe(before)
    await after.pass(24 * hour, minute)
    const value = await after.value()
    if (spent) expect(value).toBe('needs_login')
    else expect(crew.provider.accepts(value)).toBe(true)
    if (spent) expect(crew.provider.calls).toBe(before + 1)
    const again = await after.beside()
    expect(await again.value()).toBe(value)
    if (spent) expect(crew.provider.calls).toBe(before + 1)
  })
})

describe('two replicas over one store', () => {
  test('never spend the same token: of any number of expiries each takes one call', async () => {
    const one = await keeping({ expiresIn: 3600, delay: () => settled(), ports: { abandonedAfter: 45 * second } })
    const two = await one.beside()
    for (let round = 1; round <= 5; round += 1) {
      one.clock.advance(2 * hour)
      const asked = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? one : two).value())
      // The one that came second waits for the first by looking again after a while.
      await settled()
      await settled()
      await one.pass(2 * second, 250)
      const values = new Set(await Promise.all(asked))
      expect(values.size).toBe(1)
      expect(one.provider.accepts([...values][0] ?? '')).toBe(true)
      expect(one.provider.calls).toBe(round)
    }
    expect(one.provider.alive).toBe(true)
  })

  test('do not spend what another has spent while they were stopped with the mark just set', async () => {
    const one = await keeping({ expiresIn: 3600, ports: { abandonedAfter: 120 * second } })
    const two = await one.beside()
    one.clock.advance(2 * hour)
    const begin = one.store.begin.bind(one.store)
    let stopped = false
    const over = Promise.withResolvers<void>()
    one.store.begin = async (...args) => {
      const begun = await begin(...args)
      if (stopped || !begun) return begun
      // Here one is stopped, for so long that two takes its mark for abandoned.
      stopped = true
      const asked = two.value()
      await one.pass(3 * minute, second)
      // A request waits for 25 s; the next one has what was refreshed meanwhile.
      expect(await asked).toBe('credential_unavailable')
      expect(one.provider.accepts(await two.value())).toBe(true)
      over.resolve()
      return begun
    }
    const value = one.value()
    await one.pass(5 * second, 250)
    expect(await value).toBe('credential_unavailable')
    await over.promise
    await one.pass(2 * second, 250)
    expect(one.provider.accepts(await one.value())).toBe(true)
    expect([one.provider.calls, one.provider.alive]).toEqual([1, true])
  })

  test('take in a new seed though another has a call under way', async () => {
    const one = await keeping({ ports: { abandonedAfter: 120 * second } })
    await one.vault.close()
    one.clock.advance(2 * hour)
    await one.store.begin('claude', 1, one.clock.now())
    const two = await one.beside()
    void two.value()
    await two.pass(second, 250)
    const login = one.provider.login()
    one.files.set('seed', seedOf(login, one.clock.now() + hour))
    two.vault.refresh()
    await two.pass(2 * second, 250)
    expect(await two.value()).toBe(login.access)
  })

  test('take over from one that died, not before its call must have ended', async () => {
    const crew = await keeping({ ports: { abandonedAfter: 45 * second } })
    await crew.vault.close()
    await crew.store.login('claude', { ...pairOf(crew.provider.login()), expiresAt: crew.clock.now() }, crew.clock.now())
    const { generation = 0 } = (await crew.store.read('claude')) ?? {}
    await crew.store.begin('claude', generation, crew.clock.now())
    const before = crew.provider.calls
    const after = await crew.beside()
    const waiting = after.value()
    await after.pass(44 * second, 250)
    expect(crew.provider.calls).toBe(before)
    await after.pass(2 * second, 250)
    expect(crew.provider.calls).toBe(before + 1)
    expect(await waiting).toBe('credential_unavailable')
    expect(crew.provider.accepts(await after.value())).toBe(true)
  })
})

describe('when the new pair cannot be written', () => {
  test('it is used all the same, nothing is asked for, and the write is tried until it is done', async () => {
    const crew = await keeping({ expiresIn: 1200 })
    crew.store.before = (operation) => {
      if (operation === 'commit') throw Object.assign(new Error('no'), { code: 'ENOSPC' })
    }
    await crew.pass(56 * minute, minute)
    const value = await crew.value()
    expect(crew.provider.accepts(value)).toBe(true)
    expect(crew.events.at(-1)).toMatchObject({ kind: 'store_failed', detail: 'ENOSPC', generation: 2 })
    await crew.pass(18 * minute, minute)
    expect(await crew.value()).toBe(value)
    expect(crew.provider.calls).toBe(1)
    await crew.pass(10 * minute, minute)
    expect(await crew.value()).toBe('credential_unavailable')
    expect(crew.provider.calls).toBe(1)
    crew.store.before = () => {}
    await crew.pass(minute, second)
    expect(crew.provider.accepts(await crew.value())).toBe(true)
    expect(crew.provider.calls).toBe(2)
    expect(crew.provider.alive).toBe(true)
    expect((await crew.store.read('claude'))?.generation).toBe(3)
  })

  test('it is tried once more when the proxy stops', async () => {
    const crew = await keeping({ seedLife: 0 })
    crew.store.before = (operation) => {
      if (operation === 'commit') throw Object.assign(new Error('no'), { code: 'ENOSPC' })
    }
    const value = await crew.value()
    crew.store.before = () => {}
    await crew.vault.close()
    expect((await crew.store.read('claude'))?.pair.access.expose()).toBe(value)
  })

  test('and a store that cannot be marked keeps any call from being made', async () => {
    const crew = await keeping()
    crew.store.before = () => {
      throw Object.assign(new Error('no'), { code: 'EROFS' })
    }
    await crew.pass(59 * minute + 40 * second, 10 * second)
    expect(await crew.value()).toBe('credential_unavailable')
    expect(crew.provider.calls).toBe(0)
    expect(crew.events.at(-1)).toMatchObject({ kind: 'store_failed', detail: 'EROFS' })
  })
})

test('no value is in an event, a status or an error, whatever happens', async () => {
  const crew = await keeping()
  const errors: unknown[] = []
  const use = () => crew.grant().catch((error: unknown) => errors.push(error, (error as Error).message, (error as Error).stack))
  crew.provider.troubles.push({ kind: 'garbled' }, { kind: 'html', status: 403 })
  await crew.pass(2 * hour, minute)
  await use()
  await crew.vault.login('claude', pairOf(crew.provider.login()))
  crew.provider.revoke()
  await crew.vault.renew(await crew.grant()).catch(() => {})
  await use()
  const told = JSON.stringify([crew.events, crew.vault.status(), errors, crew.vault])
  expect(crew.events.map(({ kind }) => kind)).toContain('needs_login')
  expect(errors.length).toBeGreaterThan(0)
  expect(findLeaks(crew.provider.handedOut, [{ name: 'told', bytes: Buffer.from(told) }])).toEqual([])
})

/** The pair in the store is spent behind the proxy's back. */
async function spend({ provider, store }: Awaited<ReturnType<typeof keeping>>): Promise<void> {
  const kept = await store.read('claude')
  const body = `grant_type=refresh_token&refresh_token=${encodeURIComponent(kept?.pair.refresh?.expose() ?? '')}`
  await provider.call(
    'claude',
    { host: 'login.test' as never, port: 443, path: '/token' },
    { method: 'POST', path: '/token', headers: [], body: new Secret('body', body) },
  )
}
