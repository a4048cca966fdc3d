import { describe, expect, it } from 'vitest'
import { leaseTools } from '#vault/leases/jwt.ts'
import { canaryToken, leaseInput, leaseOf, now, shown, thrownBy } from '../../kit/lease-input.ts'
import type { Given } from '../../kit/lease-input.ts'
import { credential } from '../../kit/credentials.ts'

const entry = {
  kind: 'oauth2',
  stubs: { access: 'access-token-stub', refresh: 'refresh-token-stub' },
  tokenEndpoint: 'https://login.example.com/oauth/token',
  clientId: 'a-client',
  scopes: ['read', 'write'],
  hosts: ['good.test'],
}
const clientSecret = { file: 'secrets/client' }
const privateKey = { file: 'secrets/key.pem' }
const refresh = canaryToken()
const secret = canaryToken()
const subject = canaryToken()
const second = now / 1000

function call(change: Readonly<Record<string, unknown>>, given: Given = {}) {
  const values = { refresh, secrets: { clientSecret: secret, privateKey: 'key', subjectToken: subject }, ...given }
  return shown(leaseOf(credential('login', { ...entry, ...change })).ask(leaseInput(values)))
}
const form = (parameters: Readonly<Record<string, string>>) => new URLSearchParams(parameters).toString()
const signed = (header: object, claims: object) =>
  `signed:${JSON.stringify([header, { ...claims, iat: second - 60, exp: second + 240 }])}`
const refreshed = { grant_type: 'refresh_token', refresh_token: refresh }

describe('the call of a grant', () => {
  it.each<[string, Record<string, unknown>, Record<string, string>]>([
    ['refresh_token', {}, { ...refreshed, client_id: 'a-client' }],
    ['refresh_token with its scope', { sendScope: true }, { ...refreshed, client_id: 'a-client', scope: 'read write' }],
    [
      'client_credentials',
      { grantType: 'client_credentials', clientSecret, clientAuth: 'body', audience: 'https://api.example.com' },
      {
        grant_type: 'client_credentials',
        audience: 'https://api.example.com',
        client_id: 'a-client',
        client_secret: secret,
        scope: 'read write',
      },
    ],
    [
      'client_credentials without its scope',
      { grantType: 'client_credentials', clientSecret, clientAuth: 'body', sendScope: false },
      { grant_type: 'client_credentials', client_id: 'a-client', client_secret: secret },
    ],
    [
      'jwt-bearer',
      { grantType: 'jwt-bearer', clientId: undefined, privateKey, keyId: 'k1', issuer: 'robot@example.com' },
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: signed(
          { alg: 'RS256', kid: 'k1' },
          { iss: 'robot@example.com', aud: 'https://login.example.com/oauth/token', scope: 'read write', jti: 'nonce' },
        ),
        scope: 'read write',
      },
    ],
    [
      'jwt-bearer for someone, to someone, by the client',
      {
        grantType: 'jwt-bearer',
        privateKey,
        algorithm: 'ES256',
        subject: 'someone@example.com',
        audience: 'https://issuer.example.com',
        scopes: undefined,
      },
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: signed(
          { alg: 'ES256' },
          { iss: 'a-client', sub: 'someone@example.com', aud: 'https://issuer.example.com', jti: 'nonce' },
        ),
        client_id: 'a-client',
      },
    ],
    [
      'jwt-bearer without its scope',
      { grantType: 'jwt-bearer', privateKey, sendScope: false },
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: signed({ alg: 'RS256' }, { iss: 'a-client', aud: 'https://login.example.com/oauth/token', jti: 'nonce' }),
        client_id: 'a-client',
      },
    ],
    [
      'token-exchange',
      {
        grantType: 'token-exchange',
        clientId: undefined,
        subjectToken: { file: 'secrets/subject' },
        subjectTokenType: 'urn:ietf:params:oauth:token-type:jwt',
        audience: 'a-service',
      },
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subject,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        audience: 'a-service',
        scope: 'read write',
      },
    ],
  ])('%s', (_grant, change, expected) => {
    expect(call(change)).toEqual({
      start: 'POST /oauth/token',
      headers: { 'user-agent': 'iron-proxy', accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: form(expected),
    })
  })
})

describe('the client', () => {
  it('with a secret shows it by Basic, unless said otherwise', () => {
    const basic = `Basic ${Buffer.from(`a-client:${secret}`).toString('base64')}`
    for (const change of [{ clientSecret }, { clientSecret, clientAuth: 'basic' }]) {
      expect(call(change)).toMatchObject({ headers: { authorization: basic }, body: form(refreshed) })
    }
  })

  it('may show its secret in the body', () => {
    const { headers, body } = call({ clientSecret, clientAuth: 'body' })
    expect(headers['authorization']).toBeUndefined()
    expect(body).toBe(form({ ...refreshed, client_id: 'a-client', client_secret: secret }))
  })

  it('may sign for itself', () => {
    expect(call({ clientAuth: 'private_key_jwt', privateKey, algorithm: 'ES256', keyId: 'k1' }).body).toBe(
      form({
        ...refreshed,
        client_id: 'a-client',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: signed(
          { alg: 'ES256', kid: 'k1' },
          { iss: 'a-client', sub: 'a-client', aud: 'https://login.example.com/oauth/token', jti: 'nonce' },
        ),
      }),
    )
  })
})

describe('the body of a call', () => {
  it.each([
    'https://platform.claude.com/v1/oauth/token',
    'https://console.anthropic.com/v1/oauth/token',
    'https://api.anthropic.com/v1/oauth/token',
    'https://auth.openai.com/oauth/token',
  ])('is JSON for %s', (tokenEndpoint) => {
    expect(call({ tokenEndpoint })).toMatchObject({
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...refreshed, client_id: 'a-client' }),
    })
  })

  it('is what the policy says it is', () => {
    expect(call({ encoding: 'json' }).headers['content-type']).toBe('application/json')
    expect(call({ encoding: 'form', tokenEndpoint: 'https://auth.openai.com/oauth/token' }).body).toBe(
      form({ ...refreshed, client_id: 'a-client' }),
    )
  })
})

describe('a call that lacks', () => {
  it.each<[string, Record<string, unknown>, Given, string]>([
    ['a pair', {}, { refresh: undefined }, 'there is no refresh token'],
    ['a refresh token', {}, { refresh: undefined, access: 'x' }, 'there is no refresh token'],
    ['a client secret', { clientSecret }, { secrets: {} }, 'the value of clientSecret is not available'],
    ['a key', { clientAuth: 'private_key_jwt', privateKey }, { secrets: {} }, 'the value of privateKey is not available'],
    [
      'a subject token',
      { grantType: 'token-exchange', subjectToken: { file: 'x' }, subjectTokenType: 'y' },
      { secrets: {} },
      'the value of subjectToken is not available',
    ],
  ])('%s is not made', (_what, change, given, message) => {
    expect(thrownBy(() => call(change, given))).toMatchObject({ code: 'credential_unavailable', message })
  })

  it('a key that signs says so without what it has', () => {
    const key = canaryToken()
    const signing = leaseOf(credential('login', { ...entry, clientAuth: 'private_key_jwt', privateKey }))
    const given = { ...leaseInput({ refresh, secrets: { privateKey: key } }), tools: leaseTools }
    const { code, printed } = thrownBy(() => signing.ask(given))
    expect(code).toBe('credential_unavailable')
    expect(printed).not.toContain(key)
  })
})
