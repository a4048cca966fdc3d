import { describe, expect, it } from 'vitest'
import { canary, credential, outcome, swapped } from '../../kit/credentials.ts'

const stub = 'stub-for-query'
const key = credential('maps', { kind: 'query', param: 'key', stub, secret: { env: 'KEY' }, hosts: ['good.test'] })
const sent = (query: string) => ({ all: [key], head: { query } })

describe('a query credential', () => {
  it('writes the value percent-encoded and leaves every other byte as it was', () => {
    const real = `${canary()}&x=(é)`
    const placed = swapped(sent(`?a=%7e+~&&b&=c&key=${stub}&d=%zz&e==#`), real)
    const written = /^\?a=%7e\+~&&b&=c&key=([^&]*)&d=%zz&e==#$/.exec(placed.query)?.[1] ?? ''
    expect(written).toMatch(/^(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+$/)
    expect(decodeURIComponent(written)).toBe(real)
    expect(placed.swaps).toEqual([{ credential: 'maps', place: 'query:key' }])
  })

  it('knows its stub and its name percent-encoded too', () => {
    expect(swapped(sent(`?%6bey=%73${stub.slice(1)}`), 'realvalue').query).toBe('?%6bey=realvalue')
  })

  it.each([
    ['another parameter', `?q=${stub}`, 'stub_misplaced'],
    ['another case of the name', `?KEY=${stub}`, 'stub_misplaced'],
    ['the name of a parameter', `?${stub}=1`, 'stub_misplaced'],
    ['the query alone', `?${stub}`, 'stub_misplaced'],
    ['a value with more words', `?key=${stub}+x`, 'stub_misplaced'],
    ['a parameter sent twice', `?key=${stub}&key=${stub}`, 'stub_misplaced'],
    ['a parameter sent twice, once empty', `?key=${stub}&Key=`, 'stub_misplaced'],
    ['a longer value', `?key=${stub}x`, 'foreign_credential'],
    ['a parameter beside a foreign one', `?key=${stub}&key=mine`, 'foreign_credential'],
  ])('does not swap the stub in %s', (_what, query, code) => {
    expect(outcome(sent(query))).toBe(code)
  })

  it('refuses a foreign value in its parameter and lets an empty one pass', () => {
    expect(outcome(sent('?key=mine'))).toBe('foreign_credential')
    expect(outcome(sent('?key='))).toBe('passed')
    expect(outcome(sent('?'))).toBe('passed')
  })
})
