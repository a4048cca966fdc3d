import { describe, expect, it } from 'vitest'
import { fromText, settingKeys } from '#config/setting-keys.ts'

describe('the names of settings', () => {
  it.each([
    ['listen.dns', 'IRON_PROXY_LISTEN_DNS', 'listen-dns', 'text'],
    ['sealKey', 'IRON_PROXY_SEAL_KEY', 'seal-key', 'text'],
    ['upstream.allowPrivate', 'IRON_PROXY_UPSTREAM_ALLOW_PRIVATE', 'upstream-allow-private', 'list'],
    ['upstream.hosts', 'IRON_PROXY_UPSTREAM_HOSTS', 'upstream-hosts', 'map'],
    ['workers', 'IRON_PROXY_WORKERS', 'workers', 'number'],
    ['audit.stdout', 'IRON_PROXY_AUDIT_STDOUT', 'audit-stdout', 'boolean'],
  ])('%s is %s and --%s, a %s', (path, env, flag, form) => {
    expect(settingKeys.find((key) => key.path.join('.') === path)).toMatchObject({ env, flag, form })
  })

  it('are different from each other', () => {
    expect(new Set(settingKeys.map(({ env }) => env)).size).toBe(settingKeys.length)
  })
})

describe('the text of a flag or variable', () => {
  it.each([
    ['text', 'a,b', 'a,b'],
    ['number', '12', 12],
    ['number', '1e3', '1e3'],
    ['boolean', 'on', true],
    ['boolean', 'false', false],
    ['boolean', 'maybe', 'maybe'],
    ['list', ' a , b,', ['a', 'b']],
    ['list', '', []],
    ['map', 'a=1,b=2=3', { a: '1', b: '2=3' }],
  ] as const)('as %s, %j is %j', (form, text, expected) => {
    expect(fromText(text, form)).toEqual(expected)
  })
})
