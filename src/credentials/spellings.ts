/**
 * The ways a real value is usually written down. Ciphers, compression, split or re-ordered text and encodings of
 * encodings (but for base64 in a URL or in JSON) are not among them.
 */
import { base64Spellings } from './base64-spellings.ts'

/** One way to write a real value, and what to write in its place. */
export interface Spelling {
  readonly bytes: Uint8Array
  readonly stub: Uint8Array
  /** What becomes of the byte before and after, where it carries some bits of the value; 0: it does not. */
  readonly lead?: Uint8Array | undefined
  readonly trail?: Uint8Array | undefined
}

/** Shorter values, in bytes, are not searched for: they would turn up by chance, and betray themselves by vanishing. */
export const shortestSearched = 8

/**
 * Every usual spelling of a real value: as it is, percent-encoded, escaped for JSON and HTML, hex, and base64 wherever
 * in a longer text it may stand. The stub takes its place as it is (no encoding touches its characters) but in hex and
 * base64, where it is encoded the same way.
 */
export function spellings(real: string, stub: string): readonly Spelling[] {
  const value = Buffer.from(real, 'utf8')
  if (value.length < shortestSearched) return []
  const found = new Map<string, Spelling>()
  const add = (spelling: Spelling): void => {
    const key = Buffer.from(spelling.bytes).toString('latin1')
    if (!found.has(key)) found.set(key, spelling)
  }
  for (const text of [real, ...percentSpellings(value), ...jsonSpellings(real), ...htmlSpellings(real)]) {
    add({ bytes: Buffer.from(text, 'utf8'), stub: Buffer.from(stub, 'latin1') })
  }
  const hex = value.toString('hex')
  const stubHex = Buffer.from(stub, 'latin1').toString('hex')
  add({ bytes: Buffer.from(hex, 'latin1'), stub: Buffer.from(stubHex, 'latin1') })
  add({ bytes: Buffer.from(hex.toUpperCase(), 'latin1'), stub: Buffer.from(stubHex.toUpperCase(), 'latin1') })
  for (const spelling of base64Spellings(value, stub)) add(spelling)
  return [...found.values()]
}

type HexCase = (hex: string) => string
const lower: HexCase = (hex) => hex
const upper: HexCase = (hex) => hex.toUpperCase()

// Matches no character.
const nothing = /(?!)/

/** Characters that an encoder leaves as they are, from the strictest to the most lenient. */
const percentKept = [
  nothing, // every byte is written as a number
  /[A-Za-z0-9]/,
  /[A-Za-z0-9._~-]/, // RFC 3986 unreserved
  /[A-Za-z0-9._*-]/, // WHATWG application/x-www-form-urlencoded
  /[A-Za-z0-9._~/-]/, // Python's quote
  /[A-Za-z0-9._~!'()*-]/, // encodeURIComponent
  /[A-Za-z0-9._~!'()*;/?:@&=+$,#-]/, // encodeURI
]

function percentSpellings(value: Buffer): string[] {
  return percentKept.flatMap((kept) =>
    [lower, upper].flatMap((cased) => {
      const text = Array.from(value, (byte) => {
        const character = String.fromCharCode(byte)
        return kept.test(character) ? character : `%${cased(byte.toString(16).padStart(2, '0'))}`
      }).join('')
      return text.includes('%20') ? [text, text.replaceAll('%20', '+')] : [text]
    }),
  )
}

/** Characters that encoders write as `\uXXXX` beyond those that JSON requires (RFC 8259 section 7). */
const jsonEscaped = [
  nothing, // JSON.stringify
  /[^\x20-\x7e]/, // Python
  /[<>&\u2028\u2029]/, // Go, Rails
  /[<>&'=]/, // Gson
  /["&'+<>`]|[^\x20-\x7e]/, // System.Text.Json
  /["&'+<>`/=]|[^\x20-\x7e]/,
  /[^A-Za-z0-9]/,
]

function jsonSpellings(real: string): string[] {
  return jsonEscaped.flatMap((escaped) =>
    [lower, upper].flatMap((cased) => {
      const text = spell(real, (unit) => {
        if (escaped.test(unit)) return `\\u${cased(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`
        return unit >= '\ud800' && unit <= '\udfff' ? unit : JSON.stringify(unit).slice(1, -1)
      })
      // PHP and others also escape the slash.
      return text.includes('/') ? [text, text.replaceAll('/', '\\/')] : [text]
    }),
  )
}

type Entities = Readonly<Record<string, string>>
const angles: Entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/** What escapers write for the characters they touch. */
const htmlEntities: readonly Entities[] = [
  angles,
  { ...angles, '"': '&quot;' },
  { ...angles, '"': '&quot;', "'": '&#39;' },
  { ...angles, '"': '&quot;', "'": '&#x27;' }, // Python
  { ...angles, '"': '&quot;', "'": '&apos;' }, // XML
  { ...angles, '"': '&quot;', "'": '&#039;' }, // PHP
  { ...angles, '"': '&#34;', "'": '&#39;' }, // Go
  { ...angles, '"': '&#34;', "'": '&#39;', '+': '&#43;' }, // Go templates
  { ...angles, '"': '&quot;', "'": '&#39;', '/': '&#x2F;', '`': '&#x60;', '=': '&#x3D;' }, // Mustache
]

function htmlSpellings(real: string): string[] {
  const numeric = (write: (code: number) => string): string =>
    spell(real, (unit) => (/[^A-Za-z0-9]/.test(unit) ? `&#${write(unit.charCodeAt(0))};` : unit))
  return [
    ...htmlEntities.map((entities) => spell(real, (unit) => entities[unit] ?? unit)),
    numeric((code) => String(code)),
    numeric((code) => `x${code.toString(16)}`),
    numeric((code) => `x${code.toString(16).toUpperCase()}`),
  ]
}

/** Writes a text UTF-16 unit by unit. */
function spell(text: string, write: (unit: string) => string): string {
  return text.split('').map(write).join('')
}
