import { describe, expect, it } from 'vitest'
import { answerRefresh } from '#credentials/token-answer.ts'
import { canaryToken } from '../kit/lease-input.ts'

const stubs = { access: 'access-token-stub', refresh: 'refresh-token-stub' }
const json = (body: unknown) => ({ contentType: 'application/json', body: JSON.stringify(body) })
const form = (body: string) => ({ contentType: 'application/x-www-form-urlencoded', body })
const answer = (request: { contentType: string; body: string }, scopes?: readonly string[]) =>
  answerRefresh(request, stubs, scopes)

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
    expect(answerRefresh(request, { access: stubs.access }, undefined).kind).toBe('refused')
  })
})
