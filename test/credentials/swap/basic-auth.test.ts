import { describe, expect, it } from 'vitest'
import { readBasic, writeBasic } from '#credentials/swap/basic-auth.ts'

const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64')

describe('readBasic', () => {
  it.each([
    ['user:password', 'user', 'password'],
    ['user:', 'user', ''],
    [':password', '', 'password'],
    [':', '', ''],
    ['user:pass:word', 'user', 'pass:word'],
    ['\xff\xfe:caf\xe9', '\xff\xfe', 'caf\xe9'],
  ])('splits %j at its first colon and loses no byte', (pair, user, password) => {
    expect(readBasic(`Basic ${base64(pair)}`)).toEqual({ scheme: 'Basic', user, password })
  })

  it('says nothing about other schemes, also those that only begin like it', () => {
    for (const value of ['', 'Bearer x', 'Basically x', 'Basi', 'Digest Basic x']) expect(readBasic(value)).toBeUndefined()
  })

  it.each([
    'Basic',
    'Basic ',
    'Basic\tdTpw',
    'Basic  dTpw',
    'Basic dTpw ',
    'Basic dT pw',
    'Basic dTpw=',
    'Basic dT-_',
    'basic d',
    `basic ${base64('a\x7f:b')}`,
  ])('calls %j malformed', (value) => {
    expect(readBasic(value)).toBe('malformed')
  })

  it('is undone by writeBasic', () => {
    const auth = { scheme: 'BASIC', user: 'u\xff', password: 'p:\xe9' }
    expect(readBasic(writeBasic(auth))).toEqual(auth)
  })
})
