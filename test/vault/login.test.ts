import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { compileCredential, credentialSchema } from '#credentials/index.ts'
import type { Pair, TokenCall, TokenReply } from '#credentials/lease.ts'
import type { Credential } from '#credentials/types.ts'
import { inventory } from '#vault/inventory.ts'
import { leaseTools } from '#vault/jwt.ts'
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

function stage(credential: Credential | undefined = claude(), reply?: Partial<TokenReply>) {
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
    expect(await logins.finish('claude', `the-code#${asked['state']}`)).toBe(7)
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
    const problem = await logins.finish('claude', 'the-code').catch((error: unknown) => error as Error)
    expect(String(problem)).toContain('invalid_grant')
    expect(String(problem)).not.toContain(canary)
    expect(accepted).toEqual([])
  })

  it('is not offered where nobody can log in by a link', () => {
    expect(() => stage(claude({ tokenEndpoint: 'https://login.example.com/token' })).logins.begin('claude')).toThrow(
      'has no login',
    )
  })
})

it('the inventory names hosts and agents and how a credential is', () => {
  const status = { id: 'claude', kind: 'oauth2', generation: 3, expiresAt: 5, lastRefresh: undefined }
  expect(inventory([claude({ agents: ['devbot'] })], [status])).toEqual([
    {
      id: 'claude',
      kind: 'oauth2',
      hosts: ['api.anthropic.com'],
      agents: ['devbot'],
      generation: 3,
      expiresAt: 5,
      lastRefresh: undefined,
    },
  ])
})
