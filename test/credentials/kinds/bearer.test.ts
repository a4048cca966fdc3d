import { describe, expect, it } from 'vitest'
import { bearerFor, canary, outcome, swapped } from '../../kit/credentials.ts'

const stub = 'stub-for-bearer'
const bearer = bearerFor('github', stub)
const base64 = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding).toString('base64')

const sent = (value: string) => ({ all: [bearer], head: { headers: ['Authorization', value] } })
const writes = (value: string, real: string) => swapped(sent(value), real).headers[1]

describe('a bearer credential', () => {
  it.each(['Bearer', 'bearer', 'BEARER', 'token', 'Token'])(
    'swaps the token after "%s" and keeps the scheme as sent',
    (scheme) => {
      const real = canary()
      expect(writes(`${scheme} ${stub}`, real)).toBe(`${scheme} ${real}`)
    },
  )

  it.each(['Basic', 'basic', 'BASIC'])('swaps the password of "%s" and keeps the username', (scheme) => {
    const real = canary()
    expect(writes(`${scheme} ${base64(`x-access-token:${stub}`)}`, real)).toBe(`${scheme} ${base64(`x-access-token:${real}`)}`)
  })

  it('swaps the username of Basic, whatever the password is', () => {
    const real = canary()
    expect(writes(`Basic ${base64(`${stub}:x-oauth-basic`)}`, real)).toBe(`Basic ${base64(`${real}:x-oauth-basic`)}`)
    expect(writes(`Basic ${base64(`${stub}:`)}`, real)).toBe(`Basic ${base64(`${real}:`)}`)
  })

  it('reads Basic without padding and writes it with padding', () => {
    const real = canary()
    const unpadded = base64(`u:${stub}`).replace(/=+$/, '')
    expect(unpadded).not.toBe(base64(`u:${stub}`))
    expect(writes(`Basic ${unpadded}`, real)).toBe(`Basic ${base64(`u:${real}`)}`)
  })

  it('keeps the bytes of a username that is not UTF-8', () => {
    const real = canary()
    expect(writes(`Basic ${base64(`caf\xe9:${stub}`, 'latin1')}`, real)).toBe(`Basic ${base64(`caf\xe9:${real}`, 'latin1')}`)
  })

  it('writes a value beyond ASCII as UTF-8, alone and in Basic', () => {
    const real = `${canary()}é`
    expect(Buffer.from(writes(`Bearer ${stub}`, real) ?? '', 'latin1').toString('utf8')).toBe(`Bearer ${real}`)
    expect(writes(`Basic ${base64(`u:${stub}`)}`, real)).toBe(`Basic ${base64(`u:${real}`)}`)
  })

  it('swaps a password beside a username of eight kilobytes', () => {
    const real = canary()
    const user = 'u'.repeat(8192)
    expect(writes(`Basic ${base64(`${user}:${stub}`)}`, real)).toBe(`Basic ${base64(`${user}:${real}`)}`)
  })

  it.each([
    ['two spaces', `Bearer  ${stub}`, 'stub_misplaced'],
    ['a space at the end', `Bearer ${stub} `, 'stub_misplaced'],
    ['a tab', `Bearer\t${stub}`, 'stub_misplaced'],
    ['the stub alone', stub, 'stub_misplaced'],
    ['a scheme it does not know', `Digest ${stub}`, 'stub_misplaced'],
    ['the stub twice', `Bearer ${stub} ${stub}`, 'stub_misplaced'],
    ['the stub with a character more', `Bearer ${stub}x`, 'foreign_credential'],
    ['a prefix of the stub', `Bearer ${stub.slice(0, -1)}`, 'foreign_credential'],
    ['the stub in capitals', `Bearer ${stub.toUpperCase()}`, 'foreign_credential'],
    ['the stub doubled', `Bearer ${stub}${stub}`, 'foreign_credential'],
    ['the stub within a longer token', `Bearer v1.${stub}.x`, 'foreign_credential'],
    ['the stub in base64', `Bearer ${base64(stub)}`, 'foreign_credential'],
    ['the stub as both username and password', `Basic ${base64(`${stub}:${stub}`)}`, 'stub_misplaced'],
    ['the stub as part of the password', `Basic ${base64(`u:${stub} x`)}`, 'stub_misplaced'],
    ['the stub within the password', `Basic ${base64(`u:x${stub}`)}`, 'foreign_credential'],
  ])('does not swap %s', (_what, value, code) => {
    expect(outcome(sent(value))).toBe(code)
  })

  it.each([
    ['no base64', 'Basic ???'],
    ['nothing', 'Basic'],
    ['only a space', 'Basic '],
    ['two spaces', `Basic  ${base64(`u:${stub}`)}`],
    ['a tab', `Basic\t${base64(`u:${stub}`)}`],
    ['base64url', `Basic ${base64('u:\xff\xff\xff\xbf\xbe', 'latin1').replaceAll('/', '_').replaceAll('+', '-')}`],
    ['too much padding', `Basic ${base64(`u:${stub}x`)}==`],
    ['something after it', `Basic ${base64(`u:${stub}`)},x`],
    ['no colon', `Basic ${base64(stub)}`],
    ['base64 in base64', `Basic ${base64(base64(`u:${stub}`))}`],
    ['a NUL', `Basic ${base64(`u\0:${stub}`)}`],
    ['a line break', `Basic ${base64(`u:${stub}\r\n`)}`],
  ])('refuses Basic with %s', (_what, value) => {
    expect(outcome(sent(value))).toBe('bad_credential')
  })

  it('lets the first request of git pass, which has no Authorization', () => {
    expect(outcome({ all: [bearer], head: { headers: ['User-Agent', 'git/2.43.0', 'Accept', '*/*'] } })).toBe('passed')
  })

  it('is not placed in another header', () => {
    expect(outcome({ all: [bearer], head: { headers: ['X-Api-Key', stub] } })).toBe('stub_misplaced')
  })
})
