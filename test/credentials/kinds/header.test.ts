import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { canary, credential, outcome, swapped } from '../../kit/credentials.ts'

const stub = 'stub-for-header'
const entry = { kind: 'header', header: 'X-Api-Key', stub, secret: { env: 'KEY' }, hosts: ['good.test'] }
const plain = credential('llm', entry)
const formatted = credential('llm', { ...entry, header: 'authorization', format: 'Token token="{}"' })
const sent = (of: typeof plain, name: string, value: string) => ({ all: [of], head: { headers: [name, value] } })

describe('a header credential', () => {
  it('swaps the whole value of its header, whatever the case of the name', () => {
    const real = canary()
    for (const name of ['x-api-key', 'X-Api-Key', 'X-API-KEY']) {
      expect(swapped(sent(plain, name, stub), real)).toEqual({
        headers: [name, real],
        query: '',
        swaps: [{ credential: 'llm', place: 'header:x-api-key' }],
      })
    }
  })

  it('swaps within its format', () => {
    const real = canary()
    expect(swapped(sent(formatted, 'Authorization', `Token token="${stub}"`), real).headers[1]).toBe(`Token token="${real}"`)
  })

  describe('in several places', () => {
    const places = [{ name: 'X-Api-Key' }, { name: 'authorization', format: 'Bearer {}' }]
    const { header: _one, ...rest } = entry
    const several = credential('llm', { ...rest, headers: places })

    it.each([
      ['x-api-key', stub, ''],
      ['Authorization', `Bearer ${stub}`, 'Bearer '],
    ])('is swapped in %s, in the format of that place', (name, value, before) => {
      const real = canary()
      expect(swapped(sent(several, name, value), real)).toMatchObject({
        headers: [name, before + real],
        swaps: [{ credential: 'llm', place: `header:${name.toLowerCase()}` }],
      })
    })

    it('is swapped in both at once', () => {
      const real = canary()
      const head = { headers: ['x-api-key', stub, 'authorization', `Bearer ${stub}`] }
      expect(swapped({ all: [several], head }, real).headers).toEqual(['x-api-key', real, 'authorization', `Bearer ${real}`])
    })

    it.each([
      ['in the format of another place', 'x-api-key', `Bearer ${stub}`, 'stub_misplaced'],
      ['in a place it does not name', 'api-key', stub, 'stub_misplaced'],
      ['another value in one of them', 'authorization', 'Bearer something', 'foreign_credential'],
    ])('is refused %s', (_what, name, value, code) => {
      expect(outcome(sent(several, name, value))).toBe(code)
    })

    it.each([
      ['beside `header`', { header: 'x-api-key', headers: places }],
      ['with a format of its own beside', { headers: places, format: 'Bearer {}' }],
      ['without a place', { headers: [] }],
      ['with a place twice', { headers: [{ name: 'X-Api-Key' }, { name: 'x-api-key' }] }],
      ['with a header that frames the message', { headers: [{ name: 'content-length' }] }],
      ['neither one nor several', {}],
    ])('is refused in the policy %s', (_what, change) => {
      expect(credentialSchema.safeParse({ ...rest, ...change }).success).toBe(false)
    })
  })

  it('takes a key after Basic that is not a pair of username and password', () => {
    const odd = credential('llm', { ...entry, header: 'authorization', format: 'Basic {}' })
    const real = canary()
    expect(swapped(sent(odd, 'Authorization', `Basic ${stub}`), real).headers[1]).toBe(`Basic ${real}`)
  })

  it.each([
    ['with text around it', plain, 'x-api-key', `key ${stub}`, 'stub_misplaced'],
    ['without its format', formatted, 'authorization', stub, 'stub_misplaced'],
    ['in a format of another case', formatted, 'authorization', `token token="${stub}"`, 'stub_misplaced'],
    ['in another header', plain, 'authorization', `Bearer ${stub}`, 'stub_misplaced'],
    ['under another spelling of the name', plain, 'X_Api_Key', stub, 'stub_misplaced'],
    ['in capitals', plain, 'x-api-key', stub.toUpperCase(), 'foreign_credential'],
  ])('does not swap the stub %s', (_what, of, name, value, code) => {
    expect(outcome(sent(of, name, value))).toBe(code)
  })

  it('refuses another value in the header it names, also when that is an unusual one', () => {
    const unusual = credential('odd', { ...entry, header: 'x-house-pass' })
    expect(outcome(sent(unusual, 'X-House-Pass', 'something'))).toBe('foreign_credential')
    expect(outcome(sent(unusual, 'X_House_Pass', 'something'))).toBe('foreign_credential')
  })

  it.each([
    ['a header that frames the message', { header: 'Content-Length' }],
    ['the Host header', { header: 'host' }],
    ['a name that is none', { header: 'x api key' }],
    ['a header of the proxy', { header: 'X-Run-Id' }],
    ['a header that overrides the method', { header: 'X-HTTP-Method-Override' }],
    ['one in another spelling', { header: 'x_http_method' }],
    ['a header that overrides the URL', { header: 'X-Original-URL' }],
    ['a header of a family that does', { header: 'x-envoy-original-query' }],
    ['a header that names the client', { header: 'X_Forwarded_For' }],
    ['a client certificate', { header: 'client-cert' }],
    ['a format without a place', { format: 'Bearer' }],
    ['a format with two places', { format: '{} {}' }],
    ['a format that glues the stub to other text', { format: 'key-{}' }],
    ['a format with a line break', { format: 'a\r\nb: {}' }],
    ['a format with a space at its end', { format: '{} ' }],
  ])('refuses %s in the policy', (_what, change) => {
    expect(credentialSchema.safeParse({ ...entry, ...change }).success).toBe(false)
  })

  it.each(['X-Original-Uri', 'x_remote_user', 'X-Forwarded-Access-Token'])(
    'says of %s, which the proxy removes, that another header is needed',
    (name) => {
      const { error } = credentialSchema.safeParse({ ...entry, header: name })
      expect(error?.issues).toMatchObject([
        { path: ['header'], message: expect.stringContaining('the proxy removes this header') },
      ])
    },
  )

  it.each(['X-Forge-Key', 'x-method-key', 'X-Hostess', 'x-envoy-token'])('takes %s, which resembles one', (name) => {
    expect(credentialSchema.safeParse({ ...entry, header: name }).success).toBe(true)
  })
})
