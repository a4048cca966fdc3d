import { describe, expect, it } from 'vitest'
import { readSeed } from '#credentials/oauth/token-seed.ts'
import { canaryToken, jwt, plain, thrownBy } from '../../kit/lease-input.ts'

const access = canaryToken()
const refresh = canaryToken()
const seconds = 1_800_000_000

describe('a seed', () => {
  it.each<[string, unknown, object]>([
    [
      'in our own shape',
      { access_token: access, refresh_token: refresh, expires_at: seconds },
      { expiresAt: seconds * 1000, scopes: undefined },
    ],
    [
      'with a time that is a text',
      { access_token: access, refresh_token: refresh, expires_at: `${seconds}` },
      { expiresAt: seconds * 1000 },
    ],
    [
      'with scopes',
      { access_token: access, refresh_token: refresh, scope: 'a  b' },
      { expiresAt: undefined, scopes: ['a', 'b'] },
    ],
    [
      'as Claude Code writes it',
      {
        claudeAiOauth: {
          accessToken: access,
          refreshToken: refresh,
          expiresAt: seconds * 1000,
          scopes: ['a', 'b'],
          subscriptionType: 'max',
        },
      },
      { expiresAt: seconds * 1000, scopes: ['a', 'b'] },
    ],
    [
      'of Claude Code without a time',
      { claudeAiOauth: { accessToken: access, refreshToken: refresh, expiresAt: null } },
      { expiresAt: undefined },
    ],
    [
      'as Codex writes it',
      { auth_mode: 'chatgpt', OPENAI_API_KEY: null, tokens: { access_token: access, refresh_token: refresh, id_token: 'x' } },
      {},
    ],
    [
      'as Gemini CLI writes it',
      { access_token: access, refresh_token: refresh, expiry_date: seconds * 1000 },
      { expiresAt: seconds * 1000 },
    ],
  ])('%s is read', (_what, file, expected) => {
    expect(plain(readSeed(JSON.stringify(file)))).toMatchObject({ access, refresh, ...expected })
  })

  it('of Codex ends when its access token says so', () => {
    const token = jwt({ exp: seconds })
    expect(plain(readSeed(JSON.stringify({ tokens: { access_token: token, refresh_token: refresh } })))).toMatchObject({
      access: token,
      expiresAt: seconds * 1000,
    })
  })

  it.each([null, '', undefined])('may have %j for a refresh token, which is none', (none) => {
    expect(plain(readSeed(JSON.stringify({ access_token: access, refresh_token: none }))).refresh).toBeUndefined()
  })

  it.each<[string, string, string]>([
    ['no JSON', access, 'it is not a JSON object'],
    ['JSON that breaks off', `{"access_token": "${access}"`, 'it is not a JSON object'],
    ['a text', JSON.stringify(access), 'it is not a JSON object'],
    ['a list', JSON.stringify([access]), 'it is not a JSON object'],
    [
      'another shape',
      JSON.stringify({ token: access }),
      'it has no access token; write {"access_token", "refresh_token", "expires_at"}',
    ],
    [
      'a login of Claude Code that was wiped',
      JSON.stringify({ claudeAiOauth: { accessToken: '', refreshToken: '', expiresAt: 0 } }),
      'it has no access token; write {"access_token", "refresh_token", "expires_at"}',
    ],
    [
      'a refresh token with a line break',
      JSON.stringify({ access_token: access, refresh_token: `${refresh}\n` }),
      'its refresh token is not a token',
    ],
    [
      'milliseconds for seconds',
      JSON.stringify({ access_token: access, expires_at: seconds * 1000 }),
      'its expiry is not a time in seconds since the epoch',
    ],
    [
      'a date',
      JSON.stringify({ access_token: access, expires_at: access }),
      'its expiry is not a time in seconds since the epoch',
    ],
    [
      'no time for Claude Code',
      JSON.stringify({ claudeAiOauth: { accessToken: access, expiresAt: 'x' } }),
      'its expiry is not a time in milliseconds since the epoch',
    ],
  ])('with %s is refused, and nothing of it is told', (_what, content, reason) => {
    const { code, message, printed } = thrownBy(() => readSeed(content))
    expect([code, message]).toEqual(['credential_unavailable', `the grant cannot be used: ${reason}`])
    for (const real of [access, refresh]) expect(printed).not.toContain(real)
  })
})
