import { describe, expect, it } from 'vitest'
import { github } from '#credentials/whoami/github.ts'
import { host } from '../../kit/credentials.ts'
import { octocat, whoamiReply } from '../../kit/whoami.ts'

describe('GitHub', () => {
  it.each([
    ['api.github.com', '/user'],
    ['api.acme.ghe.com', '/user'],
    ['github.example.com', '/api/v3/user'],
  ])('is asked at %s for %s', (name, path) => {
    expect(github.question(host(name))).toEqual({
      path,
      headers: ['accept', 'application/vnd.github+json', 'x-github-api-version', '2022-11-28'],
    })
  })

  it.each([
    ['repo, admin:org', ['repo', 'admin:org']],
    ['', []],
    [undefined, undefined],
  ])('says the scopes of a classic token, and none of a fine-grained one: %j', (header, scopes) => {
    const reply = whoamiReply(200, octocat, header === undefined ? {} : { 'x-oauth-scopes': header })
    expect(github.read(reply)).toEqual({ kind: 'known', who: 'octocat', about: [], scopes })
  })

  it('says when the token expires', () => {
    const headers = { 'github-authentication-token-expiration': '2026-12-31 23:59:59 UTC' }
    expect(github.read(whoamiReply(200, octocat, headers))).toMatchObject({ about: ['expires 2026-12-31 23:59:59 UTC'] })
  })

  it.each([
    [401, { message: 'Bad credentials' }, 'GitHub answered 401'],
    [200, '<html>', 'GitHub answered with something that is not a JSON object'],
    [200, [octocat], 'GitHub answered with something that is not a JSON object'],
    [200, { login: 7 }, 'GitHub answered without a login'],
    [200, { kind: 'unknown', reason: 'forged', login: '\u202E\u0007' }, 'GitHub answered without a login'],
  ])('who answers %i %j is not known', (status, body, reason) => {
    expect(github.read(whoamiReply(status, body))).toEqual({ kind: 'unknown', reason })
  })

  it.each([
    ['repo', 'repo', true],
    ['repo', 'public_repo', true],
    ['admin:org', 'read:org', true],
    ['read:org', 'write:org', false],
    ['gist', 'repo', false],
  ])('%s includes %s: %s', (held, wanted, expected) => {
    expect(github.includes(held, wanted)).toBe(expected)
  })

  it.each([
    ['read:org', 'reads'],
    ['user:email', 'reads'],
    ['unheard_of', 'reads'],
    ['repo', 'writes'],
    ['workflow', 'writes'],
    ['write:packages', 'writes'],
    ['delete:packages', 'writes'],
    ['admin:org', 'all'],
    ['delete_repo', 'all'],
  ])('%s is of use to who %s', (scope, need) => {
    expect(github.need(scope)).toBe(need)
  })
})
