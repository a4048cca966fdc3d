import { describe, expect, it } from 'vitest'
import { githubApp } from '#credentials/whoami/github-app.ts'
import { host } from '../../kit/credentials.ts'
import { whoamiReply } from '../../kit/whoami.ts'

describe('an installation of a GitHub App', () => {
  it('is asked for its repositories, of which one is enough', () => {
    expect(githubApp.question(host('api.github.com')).path).toBe('/installation/repositories?per_page=1')
    expect(githubApp.question(host('github.example.com')).path).toBe('/api/v3/installation/repositories?per_page=1')
  })

  it.each([
    [
      { total_count: 2, repositories: [{ name: 'project', owner: { login: 'acme' } }] },
      'an installation of acme',
      '2 repositories',
    ],
    [{ total_count: 1, repositories: [{}] }, 'an installation', '1 repository'],
    [{ total_count: 0, repositories: [] }, 'an installation', '0 repositories'],
  ])('is named by the owner of its repositories: %j', (body, who, about) => {
    expect(githubApp.read(whoamiReply(200, body))).toEqual({ kind: 'known', who, about: [about], scopes: undefined })
  })

  it.each([
    [403, { message: 'Resource not accessible by integration' }, 'GitHub answered 403'],
    [200, { repositories: 'none' }, 'GitHub answered without repositories'],
  ])('is not known by %i %j', (status, body, reason) => {
    expect(githubApp.read(whoamiReply(status, body))).toEqual({ kind: 'unknown', reason })
  })

  it.each([
    ['contents:write', 'contents:read', true],
    ['contents:read', 'contents:write', false],
    ['contents:admin', 'issues:read', false],
    ['contents:read', 'metadata:read', true],
  ])('%s includes %s: %s', (held, wanted, expected) => {
    expect(githubApp.includes(held, wanted)).toBe(expected)
  })

  it.each([
    ['contents:read', 'reads'],
    ['administration:read', 'reads'],
    ['contents:write', 'writes'],
    ['administration:write', 'all'],
    ['organization_secrets:write', 'all'],
    ['contents:admin', 'all'],
    ['malformed', 'reads'],
  ])('%s is of use to who %s', (scope, need) => {
    expect(githubApp.need(scope)).toBe(need)
  })
})
