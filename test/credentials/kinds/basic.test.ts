import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import { canary, credential, outcome, swapped } from '../../kit/credentials.ts'

const stub = 'stub-for-basic'
const base64 = (text: string) => Buffer.from(text).toString('base64')
const entry = { kind: 'basic', stub, secret: { env: 'PASSWORD' }, hosts: ['good.test'] }
const anyone = credential('registry', entry)
const named = credential('registry', { ...entry, username: '__token__' })
const sent = (of: typeof anyone, value: string) => ({ all: [of], head: { headers: ['authorization', value] } })

describe('a basic credential', () => {
  it('swaps the password and keeps scheme and username', () => {
    const real = canary()
    expect(swapped(sent(anyone, `basic ${base64(`me:${stub}`)}`), real).headers[1]).toBe(`basic ${base64(`me:${real}`)}`)
  })

  it('takes everything after the first colon for the password', () => {
    expect(outcome(sent(anyone, `Basic ${base64(`me:x:${stub}`)}`))).toBe('stub_misplaced')
  })

  it('swaps only with the username the policy names', () => {
    expect(outcome(sent(named, `Basic ${base64(`__token__:${stub}`)}`))).toBe('swapped')
    expect(outcome(sent(named, `Basic ${base64(`someone:${stub}`)}`))).toBe('stub_misplaced')
    expect(outcome(sent(named, `Basic ${base64(`__TOKEN__:${stub}`)}`))).toBe('stub_misplaced')
  })

  it('compares a username beyond ASCII by its UTF-8 bytes', () => {
    const accented = credential('registry', { ...entry, username: 'café' })
    expect(outcome(sent(accented, `Basic ${base64(`café:${stub}`)}`))).toBe('swapped')
  })

  it.each([
    ['as username', `Basic ${base64(`${stub}:`)}`],
    ['as a bearer token', `Bearer ${stub}`],
  ])('does not swap its stub %s', (_what, value) => {
    expect(outcome(sent(anyone, value))).toBe('stub_misplaced')
  })

  it.each(['', 'a:b', 'a\nb', 'a\x7f'])('refuses the username %j in the policy, which Basic cannot carry', (username) => {
    expect(credentialSchema.safeParse({ ...entry, username }).success).toBe(false)
  })

  it('refuses a password that is not the stub', () => {
    expect(outcome(sent(anyone, `Basic ${base64('me:other')}`))).toBe('foreign_credential')
  })
})
