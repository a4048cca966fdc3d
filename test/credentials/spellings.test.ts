import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { shortestSearched, spellings } from '#credentials/spellings.ts'
import { canary } from '../kit/credentials.ts'

const stub = 'stub-in-its-place'
// One of each mark that some encoder treats specially.
const real = `${canary()} !"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`
const written = new Set(spellings(real, stub).map(({ bytes }) => Buffer.from(bytes).toString('utf8')))
const lowerPercent = (text: string) => text.replace(/%../g, (octet) => octet.toLowerCase())
const everyByte = (write: (byte: number) => string) => Array.from(Buffer.from(real), write).join('')

describe('spellings', () => {
  it.each([
    ['as it is', real],
    ['encodeURIComponent', encodeURIComponent(real)],
    ['encodeURIComponent with small hex', lowerPercent(encodeURIComponent(real))],
    ['encodeURI', encodeURI(real)],
    ['URLSearchParams', new URLSearchParams([['', real]]).toString().slice(1)],
    ['RFC 3986', encodeURIComponent(real).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)],
    ['every byte percent-encoded', everyByte((byte) => `%${byte.toString(16).padStart(2, '0')}`)],
    ['JSON.stringify', JSON.stringify(real).slice(1, -1)],
    ['JSON with escaped slashes', JSON.stringify(real).slice(1, -1).replaceAll('/', '\\/')],
    [
      'JSON of Go',
      JSON.stringify(real)
        .slice(1, -1)
        .replace(/[<>&]/g, (mark) => `\\u00${mark.charCodeAt(0).toString(16)}`),
    ],
    [
      'JSON with every mark as \\u',
      everyByte((byte) =>
        /[A-Za-z0-9]/.test(String.fromCharCode(byte))
          ? String.fromCharCode(byte)
          : `\\u00${byte.toString(16).toUpperCase().padStart(2, '0')}`,
      ),
    ],
    [
      'HTML',
      real
        .replaceAll('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll('>', '&gt;')
        .replaceAll('"', '&quot;')
        .replaceAll("'", '&#39;'),
    ],
    [
      'HTML of Go templates',
      real
        .replaceAll('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll('>', '&gt;')
        .replaceAll('"', '&#34;')
        .replaceAll("'", '&#39;')
        .replaceAll(/\+/g, '&#43;'),
    ],
    ['hex', Buffer.from(real).toString('hex')],
    ['hex in capitals', Buffer.from(real).toString('hex').toUpperCase()],
  ])('cover %s', (_how, expected) => {
    expect(written).toContain(expected)
  })

  it('are few for a value that no encoder changes', () => {
    const plain = randomBytes(20).toString('hex')
    expect(spellings(plain, stub).length).toBeLessThan(20)
  })

  it('put nothing of the value in its place', () => {
    for (const { stub: replacement } of spellings(real, stub)) {
      expect(Buffer.from(replacement).toString('latin1')).not.toContain(real.slice(0, 6))
    }
  })

  it('leave a value out that is too short to be told from chance', () => {
    expect(spellings('x'.repeat(shortestSearched - 1), stub)).toEqual([])
    expect(spellings('x'.repeat(shortestSearched), stub)).not.toEqual([])
    expect(spellings('é'.repeat(shortestSearched / 2), stub)).not.toEqual([])
  })
})
