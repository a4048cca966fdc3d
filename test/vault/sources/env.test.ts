import { describe, expect, it } from 'vitest'
import { env } from '#vault/sources/env.ts'

describe('the environment', () => {
  const source = env({ SET: 'value', EMPTY: '', MISSING: undefined })

  it('holds what is set', () => {
    expect([source.owns({ env: 'SET' }), source.owns({ file: 'SET' })]).toEqual([true, false])
    expect([source.read({ env: 'SET' }), source.read({ env: 'EMPTY' })]).toEqual(['value', ''])
    expect(source.path({ env: 'SET' })).toBeUndefined()
  })

  it.each(['OTHER', 'MISSING', 'toString', '__proto__', 'constructor'])('does not hold %s', (name) => {
    expect(() => source.read({ env: name })).toThrow(expect.objectContaining({ code: 'credential_unavailable' }))
  })
})
