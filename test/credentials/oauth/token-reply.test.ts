import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { readTokenReply } from '#credentials/oauth/token-reply.ts'
import { canaryToken, jwt, leaseInput, now, plain, tokenReply } from '../../kit/lease-input.ts'

const read = (status: number, body: unknown, given = leaseInput({ access: 'old', refresh: 'old-refresh', scopes: ['a', 'b'] })) =>
  readTokenReply(tokenReply(status, body), given)

function granted(body: unknown, status = 200) {
  const answer = read(status, body)
  if (answer.kind !== 'granted') throw new Error(answer.reason)
  return plain(answer.pair)
}

describe('a grant', () => {
  it.each([200, 201])('is read from a %i', (status) => {
    const body = { access_token: 'new', refresh_token: 'next', token_type: 'Bearer', expires_in: 3600, scope: 'x y' }
    expect(granted(body, status)).toEqual({ access: 'new', refresh: 'next', expiresAt: now + 3_600_000, scopes: ['x', 'y'] })
  })

  it.each([
    ['without a refresh token keeps the old one', {}, { refresh: 'old-refresh' }],
    ['with an empty refresh token keeps the old one', { refresh_token: '' }, { refresh: 'old-refresh' }],
    ['without a scope keeps those there were', {}, { scopes: ['a', 'b'] }],
    ['may write its life as a text', { expires_in: '60' }, { expiresAt: now + 60_000 }],
    ['may write its type in any case', { token_type: 'bEARER' }, { access: 'new' }],
    ['may live just under ten years', { expires_in: 315_359_999 }, { expiresAt: now + 315_359_999_000 }],
    ['says nothing with a life of ten years', { expires_in: 315_360_000 }, { expiresAt: undefined }],
    ['says nothing with a life of no time', { expires_in: 0 }, { expiresAt: undefined }],
    ['says nothing with a life that is over', { expires_in: -5 }, { expiresAt: undefined }],
    ['says nothing with a life that is no number', { expires_in: 'soon' }, { expiresAt: undefined }],
    ['says nothing with no life', {}, { expiresAt: undefined }],
    ['may be a JWT that says when it ends', { access_token: jwt({ exp: 1_800_000_000 }) }, { expiresAt: 1_800_000_000_000 }],
    [
      'has a life of its own besides the JWT',
      { access_token: jwt({ exp: 1_800_000_000 }), expires_in: 60 },
      { expiresAt: now + 60_000 },
    ],
    ['may be a JWT that says nothing', { access_token: jwt({ sub: 'x' }) }, { expiresAt: undefined }],
    ['may be a JWT with an end before all time', { access_token: jwt({ exp: -1 }) }, { expiresAt: undefined }],
    ['may be encrypted', { access_token: `${jwt({ exp: 1_800_000_000 })}.x.y` }, { expiresAt: undefined }],
    ['may look like a JWT and be none', { access_token: 'a.b.c' }, { expiresAt: undefined }],
    ['may be as long as it likes', { access_token: 'x'.repeat(5000) }, { access: 'x'.repeat(5000) }],
  ])('%s', (_what, body, expected) => {
    expect(granted({ access_token: 'new', ...body })).toMatchObject(expected)
  })

  it('needs no pair before it', () => {
    expect(readTokenReply(tokenReply(200, { access_token: 'new' }), leaseInput())).toMatchObject({
      kind: 'granted',
      pair: { refresh: undefined, scopes: undefined },
    })
  })

  it.each(['mac', 'DPoP', 'N_A', 7])('of a token of type %s is refused: it could not be sent', (token_type) => {
    expect(read(200, { access_token: 'new', token_type })).toEqual({
      kind: 'refused',
      reason: 'the token endpoint granted a token that is not a bearer token',
    })
  })
})

describe('a final error', () => {
  it.each([
    [400, { error: 'invalid_grant', error_description: 'x' }, 'invalid_grant'],
    [401, { error: 'invalid_client' }, 'invalid_client'],
    [400, { error: 'unauthorized_client' }, 'unauthorized_client'],
    [400, { error: 'invalid_scope' }, 'invalid_scope'],
    [400, { error: 'invalid_target' }, 'invalid_target'],
    [401, { error: { code: 'refresh_token_reused', type: 'invalid_request_error', message: 'x' } }, 'refresh_token_reused'],
    [401, { error: { type: 'invalid_grant', message: 'x' } }, 'invalid_grant'],
    [401, { error: 'x', code: 'refresh_token_expired' }, 'refresh_token_expired'],
    [200, { ok: false, error: 'invalid_grant' }, 'invalid_grant'],
  ])('%i %j is told by its word alone', (status, body, reason) => {
    expect(read(status, body)).toEqual({ kind: 'refused', reason })
  })
})

describe('trouble', () => {
  it.each<[string, number, unknown]>([
    ['a limit', 429, { error: 'invalid_grant' }],
    ['a fault', 500, { error: 'invalid_grant' }],
    ['a gateway', 502, '<html>invalid_grant</html>'],
    ['a firewall', 400, '<html>invalid_grant</html>'],
    ['a firewall that speaks JSON', 403, { error: 'invalid_grant' }],
    ['a word that is not final', 400, { error: 'invalid_request' }],
    ['a word that nobody knows', 401, { error: 'constructor' }],
    ['an error that is no word', 400, { error: 7 }],
    ['a redirect', 302, ''],
    ['no JSON', 200, 'ok'],
    ['no object', 200, '[]'],
    ['null', 200, 'null'],
    ['no token', 200, { token_type: 'Bearer' }],
    ['an empty token', 200, { access_token: '' }],
    ['a token that could not stand in a header', 200, { access_token: 'a\r\nb: c' }],
    ['a token that is a number', 200, { access_token: 7 }],
  ])('such as %s leaves what was sent in force', (_what, status, body) => {
    const answer = readTokenReply(tokenReply(status, body, { retryAfter: 5000 }), leaseInput())
    expect(answer).toMatchObject({ kind: 'later', after: 5000 })
  })

  it('may say no time to wait', () => {
    expect(read(503, '')).toEqual({ kind: 'later', reason: 'the token endpoint answered 503', after: undefined })
  })
})

it('nothing of a body is in what is said about it', () => {
  const real = canaryToken()
  const bodies = [
    real,
    { error: real },
    { error: { code: real, message: real } },
    { error: 'invalid_grant', error_description: real },
    { access_token: `${real} ` },
    { access_token: real, token_type: real },
  ]
  for (const status of [200, 400, 401, 403, 429, 500]) {
    for (const body of bodies) expect(inspect(read(status, body), { depth: 9 })).not.toContain(real)
  }
})
