import { describe, expect, it } from 'vitest'
import { foldName } from '#base/header-name.ts'
import { misleadsHost } from '#base/misleading-header.ts'

describe('a header name', () => {
  it.each([
    ['X-Api-Key', 'x-api-key'],
    ['x_api.KEY', 'x-api-key'],
    ['x!#$+|~y9', 'x------y9'],
  ])('%s is read as %s', (name, folded) => {
    expect(foldName(name)).toBe(folded)
  })

  it('misleads a host by its family too', () => {
    expect(['x-forwarded-anything', 'x-original-verb', 'x-rewrite-path'].map(misleadsHost)).toEqual([true, true, true])
    expect(['x-forwardable', 'x-origin', 'x-rewriter', 'origin', 'destination', 'cookie'].some(misleadsHost)).toBe(false)
  })
})
