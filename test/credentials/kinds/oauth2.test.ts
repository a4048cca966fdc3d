import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { canary, credential, outcome, swapped } from '../../kit/credentials.ts'
import { canaryToken, leaseInput, leaseOf, plain, tokenReply } from '../../kit/lease-input.ts'

const stubs = { access: 'access-token-stub', refresh: 'refresh-token-stub' }
const entry = {
  kind: 'oauth2',
  stubs,
  grant: { file: 'secrets/grant.json' },
  tokenEndpoint: 'https://login.example.com/oauth/token?v=1',
  clientId: 'a-client',
  scopes: ['user:inference'],
  hosts: ['good.test'],
}
const grant = credential('login', entry)
const lease = leaseOf(grant)
const sent = (value: string, host = 'good.test') => ({ all: [grant], head: { host, headers: ['authorization', value] } })
const secret = { file: 'secrets/client' }
const key = { file: 'secrets/key.pem' }
const exchange = { subjectToken: { env: 'SUBJECT' }, subjectTokenType: 'urn:ietf:params:oauth:token-type:jwt' }

describe('an oauth2 credential', () => {
  it('swaps its access stub for the access token', () => {
    const real = canary()
    expect(swapped(sent(`Bearer ${stubs.access}`), real).headers[1]).toBe(`Bearer ${real}`)
  })

  it('has both its stubs guarded', () => {
    expect(outcome(sent(`Bearer ${stubs.access}`, 'other.test'))).toBe('stub_wrong_host')
    expect(outcome(sent(`Bearer ${stubs.refresh}`, 'other.test'))).toBe('stub_wrong_host')
  })

  it('takes its refresh stub in no head at all', () => {
    expect(outcome(sent(`Bearer ${stubs.refresh}`))).toBe('stub_misplaced')
    expect(outcome({ all: [grant], head: { headers: ['x-token', stubs.refresh] } })).toBe('stub_misplaced')
    expect(outcome({ all: [grant], head: { query: `?refresh_token=${stubs.refresh}` } })).toBe('stub_misplaced')
  })

  it('leaves a stub where it belongs alone in report mode, where nothing is placed', () => {
    expect(outcome({ ...sent(`Bearer ${stubs.access}`), grants: false })).toBe('passed')
  })
})

describe('its lease', () => {
  it('spends what it is made with only where it refreshes', () => {
    const { grant: _, ...unseeded } = entry
    expect(lease.rotating).toBe(true)
    for (const change of [
      { grantType: 'client_credentials', clientSecret: secret },
      { grantType: 'jwt-bearer', privateKey: key },
      { grantType: 'token-exchange', ...exchange },
    ])
      expect(leaseOf(credential('login', { ...unseeded, ...change })).rotating).toBe(false)
  })

  it('says where its seed and its secrets are', () => {
    expect(grant.secret).toBeUndefined()
    expect(lease.seed).toEqual({ file: 'secrets/grant.json' })
    expect(lease.refs).toEqual({})
    const { grant: _, ...unseeded } = entry
    const full = credential('login', {
      ...unseeded,
      grantType: 'token-exchange',
      ...exchange,
      clientAuth: 'private_key_jwt',
      privateKey: key,
    })
    expect(leaseOf(full).refs).toEqual({ privateKey: key, subjectToken: { env: 'SUBJECT' } })
    expect(leaseOf(full).seed).toBeUndefined()
    expect(leaseOf(credential('login', { ...entry, clientSecret: secret })).refs).toEqual({ clientSecret: secret })
  })

  it('answers at the token endpoint, or where the policy says', () => {
    expect(lease.endpoint).toEqual({ host: 'login.example.com', port: 443, path: '/oauth/token?v=1' })
    expect(lease.answers).toEqual([{ host: 'login.example.com', port: 443, path: '/oauth/token' }])
    expect(leaseOf(credential('login', { ...entry, answers: ['old.example.com/token'] })).answers).toEqual([
      { host: 'old.example.com', port: 443, path: '/token' },
    ])
    const body = JSON.stringify({ grant_type: 'refresh_token', refresh_token: stubs.refresh })
    expect(lease.answer({ contentType: 'application/json', body })).toMatchObject({ kind: 'answered', status: 200 })
    expect(lease.stubs).toEqual(stubs)
  })

  it('goes from a seed to a call to the next pair', () => {
    const [access, refresh, next] = [canaryToken(), canaryToken(), canaryToken()]
    const pair = lease.readSeed(JSON.stringify({ access_token: access, refresh_token: refresh }))
    const given = { ...leaseInput(), pair }
    expect(lease.ask(given).body.expose()).toContain(refresh)
    const answer = lease.read(tokenReply(200, { access_token: next, expires_in: 60 }), given)
    expect(answer.kind === 'granted' && plain(answer.pair)).toMatchObject({ access: next, refresh })
    const printed = inspect([pair, lease.ask(given), answer, lease], { depth: 9, showHidden: true })
    for (const real of [access, refresh, next]) expect(printed).not.toContain(real)
  })
})

describe('the policy of an oauth2 credential', () => {
  const errors = (change: Readonly<Record<string, unknown>>): string[] => {
    const parsed = credentialSchema.safeParse({ ...entry, ...change })
    return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  }
  const unseeded = { grant: undefined }

  it.each<[string, Record<string, unknown>]>([
    ['no seed', unseeded],
    ['a public client', { clientAuth: 'none' }],
    ['a client with a secret', { clientSecret: secret }],
    ['a client that signs', { clientAuth: 'private_key_jwt', privateKey: key }],
    [
      'client_credentials with a secret',
      { ...unseeded, grantType: 'client_credentials', clientSecret: secret, stubs: { access: stubs.access } },
    ],
    [
      'client_credentials with a key',
      { ...unseeded, grantType: 'client_credentials', clientAuth: 'private_key_jwt', privateKey: key },
    ],
    [
      'jwt-bearer with an issuer',
      { ...unseeded, grantType: 'jwt-bearer', privateKey: key, issuer: 'robot', clientId: undefined },
    ],
    ['token-exchange without a client', { ...unseeded, grantType: 'token-exchange', ...exchange, clientId: undefined }],
  ])('may have %s', (_what, change) => {
    expect(errors(change)).toEqual([])
  })

  it.each<[string, Record<string, unknown>, string]>([
    [
      'one stub for both tokens',
      { stubs: { access: stubs.access, refresh: stubs.access } },
      'stubs: give the access and the refresh token different stubs',
    ],
    [
      'no refresh stub',
      { stubs: { access: stubs.access } },
      'stubs.refresh: this is missing; agents hold a stub for the refresh token too',
    ],
    ['no client', { clientId: undefined }, 'clientId: this is missing; write the id of the client'],
    ['http', { tokenEndpoint: 'http://login.example.com/t' }, 'tokenEndpoint: name the token endpoint as an https URL'],
    ['two scopes in one', { scopes: ['a b'] }, 'scopes.0: a scope has no space (RFC 6749 section 3.3)'],
    ['Basic without a secret', { clientAuth: 'basic' }, 'clientSecret: clientAuth: basic needs the secret of the client'],
    [
      'a secret that is not sent',
      { clientAuth: 'none', clientSecret: secret },
      'clientSecret: clientAuth: none sends no secret; remove one of the two',
    ],
    ['a signature without a key', { clientAuth: 'private_key_jwt' }, 'privateKey: private_key_jwt needs a key to sign with'],
    [
      'a key without a signature',
      { privateKey: key },
      'privateKey: nothing is signed here; write grantType: jwt-bearer or clientAuth: private_key_jwt',
    ],
    [
      'a seed for what starts from nothing',
      { grantType: 'client_credentials', clientSecret: secret },
      'grant: client_credentials starts from nothing; remove the seed',
    ],
    [
      'client_credentials of a public client',
      { ...unseeded, grantType: 'client_credentials' },
      'clientSecret: client_credentials needs a clientSecret, or clientAuth: private_key_jwt',
    ],
    ['jwt-bearer without a key', { ...unseeded, grantType: 'jwt-bearer' }, 'privateKey: jwt-bearer needs a key to sign with'],
    [
      'jwt-bearer of nobody',
      { ...unseeded, grantType: 'jwt-bearer', privateKey: key, clientId: undefined },
      'issuer: jwt-bearer needs an issuer or a clientId',
    ],
    [
      'an exchange of nothing',
      { ...unseeded, grantType: 'token-exchange', subjectTokenType: 'x' },
      'subjectToken: token-exchange needs the token that is exchanged',
    ],
    [
      'an exchange of something',
      { ...unseeded, grantType: 'token-exchange', subjectToken: secret },
      'subjectTokenType: write its type, such as urn:ietf:params:oauth:token-type:jwt (RFC 8693 section 3)',
    ],
    ['a token to exchange elsewhere', { subjectToken: secret }, 'subjectToken: only token-exchange takes this'],
  ])('may not have %s', (_what, change, message) => {
    expect(errors(change)).toEqual([message])
  })
})
