import { describe, expect, it } from 'vitest'
import { valueIn } from '#vault/sources/source.ts'
import { canary } from '../../kit/credentials.ts'

const value = canary()

describe('the value in a source', () => {
  it.each([
    ['alone', value],
    ['with a newline of an editor', `${value}\n`],
    ['with one of Windows', `${value}\r\n`],
    ['with white space around it', ` \t${value} \n\n`],
    ['after a byte order mark', `\ufeff${value}`],
  ])('is read %s', (_name, content) => {
    expect(valueIn(content, { file: 'x' })).toBe(value)
  })

  it.each([
    ['nothing', ''],
    ['only white space', ' \r\n\t'],
    ['two lines', `${value}\n${value}`],
    ['a carriage return', `${value}\r${value}`],
    ['a NUL', `${value}\0`],
  ])('is refused when it is %s, and not quoted', (_name, content) => {
    expect(() => valueIn(content, { file: 'x' })).toThrow(
      expect.objectContaining({ code: 'credential_unavailable', message: expect.not.stringContaining(value) }),
    )
  })

  it('may be one string of a JSON object', () => {
    expect(valueIn(JSON.stringify({ token: `${value}\n`, other: 1 }), { file: 'x', jsonKey: 'token' })).toBe(value)
  })

  it.each([
    ['not JSON', `{"token": "${value}`],
    ['an array', JSON.stringify([value])],
    ['null', 'null'],
    ['without the key', JSON.stringify({ other: value })],
    ['with a number there', JSON.stringify({ token: 1, other: value })],
    ['with a line break in it', JSON.stringify({ token: `${value}\n${value}` })],
  ])('is refused from JSON that is %s, and not quoted', (_name, content) => {
    expect(() => valueIn(content, { file: 'x', jsonKey: 'token' })).toThrow(
      expect.objectContaining({ code: 'credential_unavailable', message: expect.not.stringContaining(value) }),
    )
  })

  it('is not what objects have by themselves', () => {
    expect(() => valueIn('{}', { file: 'x', jsonKey: 'toString' })).toThrow(/no string/)
  })
})
