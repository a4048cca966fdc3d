import { describe, expect, it } from 'vitest'
import { keysAt } from '#config/keys.ts'
import { policySchema } from '#config/schema.ts'
import { settingsSchema } from '#config/settings-schema.ts'

describe('the keys that are known at a place', () => {
  const data = { credentials: { c: { kind: 'header' }, odd: { kind: 'none' } }, rules: [{}], agents: { a: { from: [{}] } } }

  it.each([
    [[], 'version'],
    [['rules', 0], 'hosts'],
    [['rules', 0, 'git'], 'push'],
    [['agents', 'a', 'from', 0, 'proxyAuth', 'password'], 'file'],
    [['credentials', 'c'], 'header'],
  ])('%j has %s', (path, key) => {
    expect(keysAt(policySchema, data, path)).toContain(key)
  })

  it('are none where nothing is known', () => {
    expect(keysAt(policySchema, data, ['credentials', 'odd'])).toEqual([])
    expect(keysAt(policySchema, data, ['rules', 0, 'nothing', 'deeper'])).toEqual([])
  })

  it('are found through defaults', () => {
    expect(keysAt(settingsSchema, {}, ['listen'])).toContain('https')
  })
})
