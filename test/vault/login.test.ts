import { createHash, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { compileCredential, credentialSchema } from '#credentials/index.ts'
import type { Pair, TokenCall, TokenReply } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'
import type { KnownIdentity } from '#vault/identities.ts'
import { inventory } from '#vault/inventory.ts'
import { leaseTools } from '#vault/leases/jwt.ts'
import { Logins } from '#vault/login.ts'
import { ManualClock } from '../kit/clock.ts'

function claude(more: object = {}): Credential {
  return compileCredential(
    'claude',
    credentialSchema.parse({
      kind: 'oauth2',
      stubs: { access: 'access-token-stub', refresh: 'refresh-token-stub' },
      tokenEndpoint: 'https://platform.claude.com/v1/oauth/token',
      clientId: 'the-client',
      scopes: ['user:inference', 'user:profile'],
      hosts: ['api.anthropic.com'],
      ...more,
    }),
  )
}

function stage(credential: Credential | undefined = claude(), reply?: Partial<TokenReply>, identity?: KnownIdentity) {
  const clock = new ManualClock()
  const access = randomBytes(24).toString('hex')
  const calls: TokenCall[] = []
  const accepted: Pair[] = []
  const logins = new Logins({
    clock,
    tools: leaseTools,
    caller: {
      call(_credential, _endpoint, call) {
        calls.push(call)
        const body = new Secret(
          'reply',
          JSON.stringify({ access_token: access, refresh_token: `r${access}`, expires_in: 3600, token_type: 'Bearer' }),
        )
        return Promise.resolve({
          status: 200,
          contentType: 'application/json',
          body,
          serverTime: undefined,
          retryAfter: undefined,
          ...reply,
        })
      },
    },
    find: () => credential,
    accept(_id, pair) {
      accepted.push(pair)
      return Promise.resolve(7)
    },
    probe: () => Promise.resolve(identity),
  })
  return { clock, access, calls, accepted, logins }
}

describe('a login by a link', () => {
  it('asks with a challenge, exchanges the code with its verifier, and takes the pair into force', async () => {
    const { access, accepted, calls, logins } = stage()
    const url = new URL(logins.begin('claude'))
    expect(url.origin + url.pathname).toBe('https://claude.com/cai/oauth/authorize')
    const asked = Object.fromEntries(url.searchParams)
    expect(asked).toMatchObject({
      response_type: 'code',
      client_id: 'the-client',
      scope: 'user:inference user:profile',
      code_challenge_method: 'S256',
    })
    expect(await logins.finish('claude', `the-code#${asked['state']}`)).toMatchObject({ generation: 7, ok: true })
    const sent = JSON.parse(calls[0]?.body.expose() ?? '') as Record<string, string>
    expect(sent).toMatchObject({
      grant_type: 'authorization_code',
      code: 'the-code',
      state: asked['state'],
      redirect_uri: asked['redirect_uri'],
    })
    expect(
      createHash('sha256')
        .update(sent['code_verifier'] ?? '')
        .digest('base64url'),
    ).toBe(asked['code_challenge'])
    expect(accepted[0]?.access.expose()).toBe(access)
  })

  it.each([
    ['a code of another link', 'the-code#another-state'],
    ['no code', ' '],
  ])('does not take %s, and makes no call', async (_name, code) => {
    const { calls, logins } = stage()
    logins.begin('claude')
    await expect(logins.finish('claude', code)).rejects.toMatchObject({ code: 'needs_login' })
    expect(calls).toEqual([])
  })

  it('takes a code once, and none after the link has expired', async () => {
    const { calls, clock, logins } = stage()
    logins.begin('claude')
    await logins.finish('claude', 'the-code')
    await expect(logins.finish('claude', 'the-code')).rejects.toMatchObject({ code: 'needs_login' })
    logins.begin('claude')
    clock.advance(16 * 60_000)
    await expect(logins.finish('claude', 'the-code')).rejects.toMatchObject({ code: 'needs_login' })
    expect(calls.length).toBe(1)
  })

  it('says no more than the error word when the provider refuses', async () => {
    const canary = randomBytes(12).toString('hex')
    const body = new Secret('reply', JSON.stringify({ error: 'invalid_grant', error_description: canary }))
    const { accepted, logins } = stage(claude(), { status: 400, body })
    logins.begin('claude')
    const problem: unknown = await logins.finish('claude', 'the-code').catch((error: unknown) => error)
    expect(inspect(problem)).toContain('invalid_grant')
    expect(inspect(problem)).not.toContain(canary)
    expect(accepted).toEqual([])
  })

  it('is not offered where nobody can log in by a link', () => {
    expect(() => stage(claude({ tokenEndpoint: 'https://login.example.com/token' })).logins.begin('claude')).toThrow(
      'has no login',
    )
  })

  it.each([
    [
      { kind: 'known', who: 'ops@example.com', about: ['Acme', 'claude_max'], scopes: undefined },
      true,
      'claude is logged in as ops@example.com (Acme, claude_max), generation 7',
    ],
    [
      { kind: 'unknown', reason: 'Anthropic answered 401' },
      false,
      'claude is logged in, generation 7, but the probe failed: Anthropic answered 401',
    ],
    [undefined, true, 'claude is logged in, generation 7; nothing was probed, as nobody says whose it is'],
  ] as const)('is tried once it is in force: %j', async (answer, ok, message) => {
    const identity = answer && { ...answer, provider: 'claude', at: 0 }
    const { accepted, logins } = stage(claude(), undefined, identity)
    logins.begin('claude')
    expect(await logins.finish('claude', 'the-code')).toEqual({ generation: 7, ok, message })
    expect(accepted.length).toBe(1)
  })
})

describe('the inventory', () => {
  const status = { id: 'claude', kind: 'oauth2', generation: 3, expiresAt: 5, lastRefresh: undefined }

  it('names hosts and agents and how a credential is', () => {
    const known = () => ({ loaded: true, identity: undefined, warnings: [] })
    expect(inventory([claude({ agents: ['devbot'] })], [status], known)).toEqual([
      {
        id: 'claude',
        kind: 'oauth2',
        hosts: ['api.anthropic.com'],
        agents: ['devbot'],
        loaded: true,
        generation: 3,
        expiresAt: 5,
        lastRefresh: undefined,
      },
    ])
  })

  it('shows what somebody said of it, and of its scopes those that are some', () => {
    const identity = { kind: 'unknown', reason: 'why', provider: 'claude', at: 1 } as const
    const scopes = ['user:inference', 'two words', 'x'.repeat(1000), '\u001B[2J']
    const [row] = inventory([claude()], [{ ...status, scopes }], () => ({ loaded: true, identity, warnings: ['look'] }))
    expect(row).toMatchObject({ identity, warnings: ['look'], scopes: ['user:inference'] })
  })
})
