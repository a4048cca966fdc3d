import { describe, expect, it } from 'vitest'
import { claude } from '#credentials/whoami/claude.ts'
import { host } from '../../kit/credentials.ts'
import { profile, whoamiReply } from '../../kit/whoami.ts'

describe('a Claude login', () => {
  it('is asked for its profile', () => {
    expect(claude.question(host('api.anthropic.com'))).toEqual({
      path: '/api/oauth/profile',
      headers: ['accept', 'application/json'],
    })
  })

  it('is named by its account, with organization and plan', () => {
    expect(claude.read(whoamiReply(200, profile))).toEqual({
      kind: 'known',
      who: 'ops@example.com',
      about: ['Acme', 'claude_max', 'default_claude_max_20x'],
      scopes: undefined,
    })
  })

  it('is named by what there is', () => {
    const { uuid } = profile.account
    expect(claude.read(whoamiReply(200, { account: { uuid } }))).toMatchObject({ who: uuid, about: [] })
    expect(claude.read(whoamiReply(200, { account: { email_address: 'a@example.com', uuid } }))).toMatchObject({
      who: 'a@example.com',
    })
  })

  it.each([
    [403, { type: 'error' }, 'Anthropic answered 403'],
    [200, {}, 'Anthropic answered without an account'],
    [200, { account: ['ops@example.com'] }, 'Anthropic answered without an account'],
  ])('is not known by %i %j', (status, body, reason) => {
    expect(claude.read(whoamiReply(status, body))).toEqual({ kind: 'unknown', reason })
  })

  it('should make no API keys', () => {
    expect(claude.need('org:create_api_key')).toBe('nobody')
    expect(claude.need('user:inference')).toBe('reads')
  })
})
