import { describe, expect, it } from 'vitest'
import { claude } from '#credentials/whoami/claude.ts'
import { githubApp } from '#credentials/whoami/github-app.ts'
import { github } from '#credentials/whoami/github.ts'
import { reviewGrant } from '#credentials/whoami/review.ts'
import type { HeldScopes } from '#credentials/whoami/review.ts'

const held: HeldScopes = { scopes: [], wanted: undefined, use: 'all', provider: github }

describe('a grant', () => {
  it.each<readonly [string, Partial<HeldScopes>]>([
    ['reads what agents read', { scopes: ['read:org', 'notifications'], use: 'reads' }],
    ['writes where agents write', { scopes: ['repo', 'workflow'], use: 'writes' }],
    ['administers where agents may do anything', { scopes: ['repo', 'admin:org', 'delete_repo'], use: 'all' }],
    ['is used by no rule, which the check of the policy has said', { scopes: ['admin:org'], use: 'none' }],
    ['has just what is asked for', { scopes: ['a', 'b'], wanted: ['b', 'a'], provider: undefined }],
    ['has scopes that allow nothing more', { scopes: ['a', 'openid', 'offline_access'], wanted: ['a'], provider: undefined }],
    ['has what GitHub adds', { scopes: ['contents:read', 'metadata:read'], wanted: ['contents:read'], provider: githubApp }],
  ])('that %s fits', (_name, some) => {
    expect(reviewGrant({ ...held, ...some })).toEqual([])
  })

  it.each<readonly [string, Partial<HeldScopes>, readonly string[]]>([
    [
      'writes where agents read',
      { scopes: ['repo', 'read:org', 'delete_repo'], use: 'reads' },
      ['the grant is wider than the policy uses: repo, delete_repo, while its rules only let agents read'],
    ],
    [
      'administers where agents write here and there',
      { scopes: ['repo', 'admin:org'], use: 'writes' },
      ['the grant is wider than the policy uses: admin:org, while its rules let agents write in some places only'],
    ],
    [
      'makes keys',
      { scopes: ['user:inference', 'org:create_api_key'], provider: claude },
      ['the grant is wider than the policy uses: org:create_api_key'],
    ],
    [
      'has what nobody asked for',
      { scopes: ['contents:write', 'issues:read'], wanted: ['contents:read'], provider: githubApp },
      ['the grant is wider than the policy asks for: contents:write, issues:read'],
    ],
    [
      'lacks something, whoever gave it',
      { scopes: ['a'], wanted: ['a', 'b'], provider: undefined },
      ['the grant lacks what the policy asks for: b'],
    ],
    [
      'is all wrong',
      { scopes: ['org:create_api_key', 'user:plugins'], wanted: ['user:inference'], provider: claude },
      [
        'the grant is wider than the policy uses: org:create_api_key',
        'the grant is wider than the policy asks for: user:plugins',
        'the grant lacks what the policy asks for: user:inference',
      ],
    ],
  ])('that %s is told', (_name, some, warnings) => {
    expect(reviewGrant({ ...held, ...some })).toEqual(warnings)
  })

  it('shows no scope that is none', () => {
    expect(reviewGrant({ ...held, scopes: ['admin:\u001B[2J', `admin:${'x'.repeat(200)}`], use: 'reads' })).toEqual([])
  })
})
