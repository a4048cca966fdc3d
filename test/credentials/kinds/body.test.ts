import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { fill } from '#credentials/swap/swap.ts'
import type { BodyPlacer } from '#credentials/types.ts'
import { canary, credential, grantOf, outcome } from '../../kit/credentials.ts'

const entry = { kind: 'body', stub: 'stub-of-slack', secret: { env: 'T' }, hosts: ['slack.com'], paths: ['/api/auth.test'] }
const inJson = credential('slack', { ...entry, pointer: '/auth/token' })
const inForm = credential('slack', { ...entry, field: 'token' })
const placer = (of: typeof inJson): BodyPlacer => {
  if (!of.placer.body) throw new Error('no body placer')
  return of.placer.body
}
const type = { json: 'application/json', form: 'application/x-www-form-urlencoded' } as const

describe('a credential in bodies', () => {
  it('looks at its own paths, methods and media type, and at nothing else', () => {
    const ask = { method: 'POST', path: '/api/auth.test', contentType: type.json }
    expect(placer(inJson).takes(ask)).toBe(true)
    expect(placer(inForm).takes({ ...ask, contentType: type.form })).toBe(true)
    for (const some of [
      { method: 'GET' },
      { path: '/api/auth.test/' },
      { path: '/api/other' },
      { contentType: type.form },
      { contentType: '' },
    ])
      expect(placer(inJson).takes({ ...ask, ...some })).toBe(false)
  })

  it.each([
    ['{"auth":{"token":"stub-of-slack"}}', { kind: 'stub', start: 17, end: 32 }],
    ['{"auth":{"token":"stub-of-slac\\u006b"}}', { kind: 'stub', start: 17, end: 37 }],
    ['{"auth":{"token":"stub-of-slack and more"}}', { kind: 'other' }],
    ['{"auth":{"token":7}}', { kind: 'other' }],
    ['{"auth":{"token":""}}', { kind: 'absent' }],
    ['{"token":"stub-of-slack"}', { kind: 'absent' }],
    ['{"auth":{"token":"stub-of-slack","token":"x"}}', { kind: 'ambiguous' }],
    ['no json', { kind: 'absent' }],
  ])('in JSON finds in %s: %j', (text, found) => {
    expect(placer(inJson).find(text)).toEqual(found)
  })

  it.each([
    ['token=stub-of-slack&x=1', { kind: 'stub', start: 6, end: 19 }],
    ['x=1&token=stub%2Dof-slack', { kind: 'stub', start: 10, end: 25 }],
    ['x=token=stub-of-slack', { kind: 'absent' }],
    ['Token=stub-of-slack', { kind: 'absent' }],
    ['token=', { kind: 'absent' }],
    ['token=xoxb', { kind: 'other' }],
    ['token=stub-of-slack&token=x', { kind: 'ambiguous' }],
  ])('in a form finds in %s: %j', (text, found) => {
    expect(placer(inForm).find(text)).toEqual(found)
  })

  it('is no stub anywhere else: a header with it is refused', () => {
    const head = { host: 'slack.com', headers: ['authorization', 'Bearer stub-of-slack'] }
    expect(outcome({ all: [inForm], head })).toBe('stub_misplaced')
  })

  it('exchanges the stub and leaves every other byte as it was', () => {
    const value = canary()
    fc.assert(
      fc.property(fc.json(), fc.json(), (before, after) => {
        const text = `{"a":${before},"auth":{"token":"stub-of-slack"},"z":${after}}`
        const bytes = Buffer.from(text)
        const found = placer(inJson).find(bytes.toString('latin1'))
        if (found.kind !== 'stub') throw new Error(found.kind)
        const filled = fill(bytes, [{ credential: inJson, body: placer(inJson), ...found }], [grantOf(inJson, value)])
        expect(Buffer.from(filled.bytes).toString()).toBe(text.replace('"stub-of-slack"', () => JSON.stringify(value)))
        expect(filled.swaps).toEqual([{ credential: 'slack', place: 'body:/auth/token' }])
      }),
    )
    const form = Buffer.from('a=1&token=stub-of-slack&b=%zz')
    const found = placer(inForm).find(form.toString('latin1'))
    if (found.kind !== 'stub') throw new Error(found.kind)
    const { bytes } = fill(form, [{ credential: inForm, body: placer(inForm), ...found }], [grantOf(inForm, value)])
    const text = Buffer.from(bytes).toString()
    expect(new URLSearchParams(text).get('token')).toBe(value)
    expect(text.startsWith('a=1&token=') && text.endsWith('&b=%zz')).toBe(true)
  })

  it('without a value is not sent', () => {
    const found = { credential: inForm, body: placer(inForm), start: 0, end: 1 }
    expect(() => fill(Buffer.from('x'), [found], [])).toThrow('slack has no value')
  })
})

describe('its entry in a policy', () => {
  it.each<[string, object, RegExp]>([
    ['no place', {}, /name one place/],
    ['two places', { pointer: '/a', field: 'b' }, /name one place/],
    ['a pointer that is none', { pointer: 'a' }, /JSON pointer/],
    ['no path', { field: 'a', paths: [] }, /name the paths/],
    ['a query', { field: 'a', paths: ['/x?y'] }, /without query/],
    ['a zone', { field: 'a', hosts: ['*.slack.com'] }, /many hosts/],
    ['a host that keeps what it is sent', { field: 'a', hosts: ['api.github.com'] }, /keeps what it is sent/],
    ['no limit', { field: 'a', maxBytes: 0 }, />=1|small/i],
  ])('is refused with %s', (_what, some, message) => {
    const { success, error } = credentialSchema.safeParse({ ...entry, ...some })
    expect(success).toBe(false)
    expect(error?.message).toMatch(message)
  })

  it('may name a host that keeps what it is sent, where it says so', () => {
    expect(credentialSchema.safeParse({ ...entry, field: 'a', hosts: ['api.github.com'], stores: 'allow' }).success).toBe(true)
  })
})
