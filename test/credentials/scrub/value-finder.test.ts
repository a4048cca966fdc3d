import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { compileScrub, Scrubber } from '#credentials/scrub/restub.ts'
import { shortestSearched, ValueFinder } from '#credentials/scrub/value-finder.ts'
import { canary } from '../../kit/credentials.ts'

const stub = 'stub-in-its-place'
// One of each mark that some encoder treats specially.
const real = `${canary()} !"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`
const finderOf = (...values: string[]) =>
  new ValueFinder(values.map((value, i) => ({ credential: `c${i}`, stub, secret: new Secret('c', value) })))
const finder = finderOf(real)
const lowerPercent = (text: string) => text.replace(/%../g, (octet) => octet.toLowerCase())
const everyByte = (write: (byte: number) => string) => Array.from(Buffer.from(real), write).join('')

/** Every mark in a way of its own, and the rest as it is. */
const marks = (write: (code: number) => string) => real.replace(/[^A-Za-z0-9]/g, (mark) => write(mark.charCodeAt(0)))
const percentBut = (kept: RegExp) =>
  everyByte((byte) =>
    kept.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  )

describe('ValueFinder', () => {
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
    ['PathEscape of Go', percentBut(/[A-Za-z0-9\-_.~$&+:=@]/)],
    ['QueryEscape of Go', percentBut(/[A-Za-z0-9\-_.~]/).replaceAll('%20', '+')],
    ['quote of Python', percentBut(/[A-Za-z0-9_.~/-]/)],
    ['escape of JavaScript', percentBut(/[A-Za-z0-9@*_+\-./]/)],
    ['percent and four digits', marks((code) => `%u${code.toString(16).padStart(4, '0')}`)],
    [
      'escapejs of Django',
      real.replace(
        /[\\'"<>&=\-;`\u2028\u2029]/g,
        (mark) => `\\u${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
      ),
    ],
    ['the slash alone as an entity', real.replaceAll('/', '&#x2F;')],
    ['hex entities', marks((code) => `&#x${code.toString(16).toUpperCase()};`)],
    ['hex entities with zeros', marks((code) => `&#X${code.toString(16).padStart(6, '0')};`)],
    ['decimal entities without a semicolon', marks((code) => `&#${code}`)],
    ['decimal entities with zeros', marks((code) => `&#${String(code).padStart(7, '0')};`)],
    [
      'named entities',
      real.replaceAll('&', '&amp;').replaceAll('+', '&plus;').replaceAll('/', '&sol;').replaceAll('=', '&equals;'),
    ],
    ['JavaScript by two digits', marks((code) => `\\x${code.toString(16).toUpperCase().padStart(2, '0')}`)],
    ['JavaScript by code point', marks((code) => `\\u{${code.toString(16)}}`)],
    ['Python by eight digits', marks((code) => `\\U${code.toString(16).padStart(8, '0')}`)],
    ['octal of C', marks((code) => `\\${code.toString(8).padStart(3, '0')}`)],
    ['CSS', marks((code) => `\\${code.toString(16).toUpperCase()} `)],
    ['CSS by six digits', marks((code) => `\\${code.toString(16).padStart(6, '0')}`)],
    ['a shell', marks((code) => `\\${String.fromCharCode(code)}`)],
    ['quoted-printable', marks((code) => `=${code.toString(16).toUpperCase().padStart(2, '0')}`)],
    ['quoted-printable in short lines', (real.replaceAll('=', '=3D').match(/=3D|./g) ?? []).join('=\r\n')],
    ['doubled quotes', real.replaceAll('"', '""')],
  ])('covers %s', (_how, text) => {
    const bytes = Buffer.from(`<<${text}>>`)
    expect(finder.find(bytes, 0)).toMatchObject({ start: 2, end: bytes.length - 2, pattern: { credential: 'c0' } })
  })

  it('covers characters beyond ASCII, by their code and by their bytes', () => {
    const value = 'Gehe\u00EFmnis\u20AC\u{1F511}x'
    const of = finderOf(value)
    for (const text of [
      value,
      encodeURIComponent(value),
      'Gehe&#xEF;mnis&#8364;&#x1f511;x',
      'Gehe\\u00efmnis\\u20ac\\ud83d\\udd11x',
      'Gehe\\u{ef}mnis\\u{20AC}\\u{1F511}x',
      'Gehe\\xefmnis\\xe2\\x82\\xac\\U0001f511x',
      'Gehe\\303\\257mnis\\342\\202\\254\\360\\237\\224\\221x',
      'Gehe=C3=AFmnis=e2=82=ac=F0=9F=94=91x',
    ]) {
      expect(of.find(Buffer.from(text), 0), text).toMatchObject({ start: 0, end: Buffer.byteLength(text) })
    }
  })

  it('covers any mixture of them, cut anywhere', () => {
    const value = fc.string({ unit: fc.constantFrom(...'abkzAZ09+/=-_."<>&%\\ '.split('')), minLength: 8, maxLength: 24 })
    const ways: readonly ((code: number) => string)[] = [
      (code) => String.fromCharCode(code),
      (code) => String.fromCharCode(code),
      (code) => `%${code.toString(16)}`,
      (code) => `&#${code};`,
      (code) => `&#x0${code.toString(16)};`,
      (code) => `\\u00${code.toString(16).toUpperCase()}`,
      (code) => `\\x${code.toString(16)}`,
      (code) => `\\${code.toString(8).padStart(3, '0')}`,
      (code) => `\\${code.toString(16).padStart(6, '0')}`,
      (code) => `=${code.toString(16).toUpperCase()}`,
    ]
    fc.assert(
      fc.property(
        value,
        fc.array(fc.nat(ways.length - 1), { minLength: 24, maxLength: 24 }),
        fc.nat(300),
        (text, chosen, cut) => {
          const written = Array.from(text, (character, i) => ways[chosen[i] ?? 0]?.(character.charCodeAt(0))).join('')
          const bytes = Buffer.from(`(${written})`)
          const scrubber = new Scrubber(compileScrub([{ credential: 'c', stub, secret: new Secret('c', text) }]))
          const out = [scrubber.push(bytes.subarray(0, cut)), scrubber.push(bytes.subarray(cut)), scrubber.end()]
          expect(Buffer.concat(out).toString()).toBe(`(${stub})`)
        },
      ),
      { numRuns: 500 },
    )
  })

  it.each([
    // Its last digit alone may not be the character that the value begins with.
    ['another character', `${real.startsWith('C') ? '%2D' : '%2C'}${real.slice(1)}`],
    ['two spellings deep', real.replaceAll('/', '&amp;#x2F;')],
    ['one character short', real.slice(0, -1)],
    ['a break that is none', `${real.slice(0, 5)}=\r${real.slice(5)}`],
  ])('leaves %s as it is', (_how, text) => {
    expect(finder.find(Buffer.from(text), 0)).toBeUndefined()
  })

  it('finds one match after another, in whatever spelling, and of two values at one place the longer', () => {
    const of = finderOf('first-value', 'first-value+more')
    const bytes = Buffer.from('first-value first-value%2Bmore first-value&#43;less')
    const search = of.search(bytes)
    expect([0, 11, 31].map((from) => search.next(from)?.pattern.credential)).toEqual(['c0', 'c1', 'c0'])
    expect(of.search(bytes).next(32)).toBeUndefined()
  })

  it('keeps back what may go on to be a value, in any spelling, and nothing else', () => {
    const of = finderOf('+secret/value')
    const held = (text: string) => text.length - of.heldFrom(Buffer.from(text), 0)
    expect(['x%2', 'x&#4', 'x&#x0002b;sec', 'x\\u002', 'x+secret=\r'].map(held)).toEqual([2, 3, 12, 5, 9])
    expect(['x%3', 'x&#5', 'x&#x0002c;', 'x\\u003', 'x+secrex', 'data: {"a":"b"}\n\n'].map(held)).toEqual([0, 0, 0, 0, 0, 0])
    // A thousand zeros are no spelling of anything.
    expect(held(`x&#${'0'.repeat(1000)}`)).toBeLessThan(10)
  })

  it('looks at no byte more than a few times, whatever the bytes are', () => {
    const of = finderOf(randomBytes(30).toString('base64'), randomBytes(30).toString('hex'))
    const size = 4 << 20
    for (const piece of ['%41', '&#x0000', '=\r\n', '\\u0041', 'abcdef0123456789', '&amp;']) {
      const bytes = Buffer.alloc(size, piece)
      const started = performance.now()
      expect(of.find(bytes, 0)).toBeUndefined()
      // Quadratic would be hours: this bound tells the two apart, and no more.
      expect(performance.now() - started, piece).toBeLessThan(5000)
    }
  })

  it('leaves a value out that is too short to be told from chance', () => {
    const finds = (value: string) => finderOf(value).find(Buffer.from(value), 0) !== undefined
    expect(finds('x'.repeat(shortestSearched - 1))).toBe(false)
    expect(finds('x'.repeat(shortestSearched))).toBe(true)
    expect(finds('\u00E9'.repeat(shortestSearched / 2))).toBe(true)
    expect(finderOf('x').isEmpty).toBe(true)
  })

  it('says of a text what it says of its bytes', () => {
    const of = finderOf('ab+abab/', 'abababab', 'a=b&a=b&é')
    const piece = fc.constantFrom(
      'a',
      'b',
      '+',
      '/',
      '%2B',
      '&#43;',
      '=\n',
      'YWIrYWJhYi',
      'YWJhYmFiYW',
      'Ã©',
      'é',
      '%26',
      '=',
      '&',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('')
        expect(of.isInText(text)).toBe(of.isIn(Buffer.from(text, 'latin1')))
      }),
      { numRuns: 5_000 },
    )
    expect(['xabababab', 'ab%2Babab/', 'YWJhYmFiYWI=', 'a=b&a=b&Ã©'].map((text) => of.isInText(text))).not.toContain(false)
  })

  it('does not print what it looks for', () => {
    const printed = inspect(finder, { showHidden: true, depth: 9 }) + JSON.stringify(finder)
    expect(printed).not.toContain(real.slice(0, 8))
  })
})
