import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { answerTokens, disguiseLogin } from '#credentials/oauth/token-answer.ts'
import { canaryToken } from '../../kit/lease-input.ts'

const stubs = { access: 'access-token-stub', refresh: 'refresh-token-stub' }
const json = (body: unknown) => ({ contentType: 'application/json', body: JSON.stringify(body) })
const form = (body: string) => ({ contentType: 'application/x-www-form-urlencoded', body })
const answer = (request: { contentType: string; body: string }, scopes?: readonly string[]) =>
  answerTokens(request, { stubs, scopes, other: 'deny', clientId: 'ours' })

describe('an agent’s refresh', () => {
  // As Claude Code, Codex and google-auth-library send it.
  it.each([
    [
      'Claude Code',
      json({ grant_type: 'refresh_token', refresh_token: stubs.refresh, client_id: 'a-client', scope: 'user:inference' }),
    ],
    [
      'Codex',
      json({ client_id: 'another', grant_type: 'refresh_token', refresh_reason: 'scheduled', refresh_token: stubs.refresh }),
    ],
    ['a form', form(`refresh_token=${stubs.refresh}&client_id=x&client_secret=y&grant_type=refresh_token`)],
    [
      'a media type with parameters',
      { ...json({ grant_type: 'refresh_token', refresh_token: stubs.refresh }), contentType: 'Application/JSON; charset=utf-8' },
    ],
  ])('of %s is answered with the stubs', (_who, request) => {
    expect(answer(request, ['a', 'b'])).toEqual({
      kind: 'answered',
      status: 200,
      body: '{"token_type":"Bearer","access_token":"access-token-stub","refresh_token":"refresh-token-stub","expires_in":315360000,"scope":"a b"}',
    })
  })

  it('is told no scope where the policy names none', () => {
    expect(answer(form(`grant_type=refresh_token&refresh_token=${stubs.refresh}`))).toMatchObject({
      body: '{"token_type":"Bearer","access_token":"access-token-stub","refresh_token":"refresh-token-stub","expires_in":315360000}',
    })
  })

  const real = canaryToken()
  it.each([
    ['a real token', json({ grant_type: 'refresh_token', refresh_token: real })],
    ['the access stub', json({ grant_type: 'refresh_token', refresh_token: stubs.access })],
    ['the stub within more', json({ grant_type: 'refresh_token', refresh_token: `${stubs.refresh} ` })],
    ['the stub in a list', json({ grant_type: 'refresh_token', refresh_token: [stubs.refresh] })],
    ['no token', json({ grant_type: 'refresh_token' })],
    ['a login', json({ grant_type: 'authorization_code', code: real, refresh_token: stubs.refresh })],
    ['no grant type', json({ refresh_token: stubs.refresh })],
    ['a device login', form(`grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=${real}`)],
    ['a form with a token twice', form(`grant_type=refresh_token&refresh_token=${real}&refresh_token=${stubs.refresh}`)],
    [
      'a form that says it is JSON',
      { contentType: 'application/json', body: `grant_type=refresh_token&refresh_token=${stubs.refresh}` },
    ],
    [
      'JSON that says it is a form',
      {
        contentType: 'application/x-www-form-urlencoded',
        body: JSON.stringify({ grant_type: 'refresh_token', refresh_token: stubs.refresh }),
      },
    ],
    ['another media type', { contentType: 'text/plain', body: `grant_type=refresh_token&refresh_token=${stubs.refresh}` }],
    ['nothing', { contentType: '', body: '' }],
  ])('with %s is refused without a word of it', (_what, request) => {
    const refused = answer(request, ['a'])
    expect(refused.kind).toBe('refused')
    expect(JSON.stringify(refused)).not.toContain(real)
  })

  it('is refused where there is no refresh stub', () => {
    const request = json({ grant_type: 'refresh_token' })
    const answering = { stubs: { access: stubs.access }, scopes: undefined, other: 'deny', clientId: 'ours' } as const
    expect(answerTokens(request, answering).kind).toBe('refused')
  })
})

describe('a login', () => {
  const capture = (request: { contentType: string; body: string }) =>
    answerTokens(request, { stubs, scopes: undefined, other: 'capture', clientId: 'ours' })
  const login = { grant_type: 'authorization_code', code: 'c', client_id: 'ours' }

  it('is captured where the policy says so, as JSON and as a form', () => {
    expect(capture(json(login))).toEqual({ kind: 'login' })
    expect(
      capture(form('grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d&client_id=ours')),
    ).toEqual({ kind: 'login' })
  })

  it.each([
    ['with another client', { ...login, client_id: 'theirs' }],
    ['without a client', { ...login, client_id: undefined }],
    [
      'that is a refresh with a token of its own',
      { grant_type: 'refresh_token', refresh_token: 'not-the-stub', client_id: 'ours' },
    ],
    ['by a grant that is no person’s', { grant_type: 'client_credentials', client_id: 'ours' }],
  ])('%s is refused all the same', (_what, body) => {
    expect(capture(json(body))).toMatchObject({ kind: 'refused' })
  })

  it('of anybody is refused where the policy says nothing', () => {
    expect(answer(json(login))).toMatchObject({ kind: 'refused' })
  })
})

describe('the reply to a login', () => {
  const access = canaryToken()
  const refresh = canaryToken()
  const disguised = (more: object) => {
    const body = new Secret('reply', JSON.stringify({ access_token: access, refresh_token: refresh, expires_in: 3600, ...more }))
    const reply = { status: 200, contentType: 'application/json', body, serverTime: undefined, retryAfter: undefined }
    return JSON.parse(disguiseLogin(reply, { stubs, scopes: ['of the policy'] })) as Record<string, unknown>
  }

  it('has the stubs, a far end, and who it is', () => {
    expect(
      disguised({
        scope: 'a b',
        account: { uuid: 'u', email_address: 'a@b.test', nested: { x: 1 } },
        organization: { name: 'o' },
      }),
    ).toEqual({
      token_type: 'Bearer',
      access_token: stubs.access,
      refresh_token: stubs.refresh,
      expires_in: 315_360_000,
      scope: 'a b',
      account: { uuid: 'u', email_address: 'a@b.test' },
      organization: { name: 'o' },
    })
    expect(disguised({})['scope']).toBe('of the policy')
  })

  it('has nothing that could be a token, wherever it stood', () => {
    const id = canaryToken()
    const text = JSON.stringify(
      disguised({ id_token: id, account: { uuid: access }, organization: [refresh], more: { deep: id } }),
    )
    for (const value of [access, refresh, id]) expect(text).not.toContain(value)
  })
})
