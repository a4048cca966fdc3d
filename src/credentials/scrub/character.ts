/**
 * One character of a real value in each of its usual spellings: an encoder may touch any of them and leave the others, so
 * the spellings of a value are those of its characters, in any mixture.
 */

/** A place within a spelling: which byte may come next, and where that leads. */
export interface Place {
  readonly next: ReadonlyMap<number, Place>
  /** The character is complete here; longer spellings may go on. */
  readonly end: boolean
}

interface Draft extends Place {
  readonly next: Map<number, Draft>
  end: boolean
}

/** The places before the first byte of each family of spellings. */
export type Character = readonly Place[]

/**
 * The spellings of a character: as it is; percent-encoded (RFC 3986, forms, `%uXXXX`); quoted-printable (RFC 2045); escaped by a
 * backslash as JSON, JavaScript, C, Python, shells and CSS do; an HTML entity, named, decimal or hex, with leading zeros and
 * without its semicolon; a doubled quote (SQL, CSV). Hex digits in either case.
 */
export function characterOf(code: number): Character {
  const text = String.fromCodePoint(code)
  const bytes = [...Buffer.from(text, 'utf8')]
  const hex = code.toString(16)
  const done = draft(true)

  const raw = draft()
  write(raw, Buffer.from(text, 'utf8').toString('latin1'), done)
  if (text === '"' || text === "'") write(raw, text + text, done)
  if (text === ' ') write(raw, '+', done)

  const percent = draft()
  eachByte(percent, '%', bytes, done)
  digits(write(percent, '%u'), hex.padStart(4, '0'), done)

  const quotedPrintable = draft()
  eachByte(quotedPrintable, '=', bytes, done)

  const octal = draft()
  bytes.reduce((from, byte, at) => {
    const to = at === bytes.length - 1 ? done : draft()
    digits(write(from, '\\'), byte.toString(8), to, byte < 0o100 ? 3 - byte.toString(8).length : 0)
    return to
  }, octal)

  const hexBytes = draft()
  eachByte(hexBytes, '\\x', bytes, done)

  return [raw, percent, quotedPrintable, octal, hexBytes, escaped(code, done), entity(code, done)]
}

/** Behind a backslash: by its number, or as it is. */
function escaped(code: number, done: Draft): Draft {
  const text = String.fromCodePoint(code)
  const hex = code.toString(16)
  const from = draft()
  const backslash = write(from, '\\')
  const short = shortEscapes[text] ?? (/[^A-Za-z0-9]/.test(text) && code < 0x80 ? text : undefined)
  if (short !== undefined) write(backslash, short, done)
  if (code < 0x100) digits(write(backslash, 'x'), hex.padStart(2, '0'), done)
  const unicode = write(backslash, 'u')
  if (code < 0x10000) digits(unicode, hex.padStart(4, '0'), done)
  else {
    const low = draft()
    digits(unicode, text.charCodeAt(0).toString(16), low)
    digits(write(low, '\\u'), text.charCodeAt(1).toString(16), done)
  }
  const closing = draft()
  write(closing, '}', done)
  digits(write(unicode, '{'), hex, closing, 4)
  digits(write(backslash, 'U'), hex.padStart(8, '0'), done)
  // CSS Syntax section 4.3.7: up to six digits, and one white space that belongs to them.
  const spaced = draft(true)
  for (const space of [' ', '\t', '\n', '\f', '\r\n']) write(spaced, space, done)
  digits(backslash, hex, spaced, Math.max(0, 6 - hex.length))
  return from
}

const shortEscapes: Readonly<Record<string, string>> = { '\b': 'b', '\t': 't', '\n': 'n', '\v': 'v', '\f': 'f', '\r': 'r' }

/** HTML section 13.5; browsers read most of them without the semicolon too. */
function entity(code: number, done: Draft): Draft {
  const from = draft()
  const ampersand = write(from, '&')
  const number = write(ampersand, '#')
  const closing = draft(true)
  write(closing, ';', done)
  const zeros = 7
  digits(number, String(code), closing, zeros)
  for (const x of ['x', 'X']) digits(write(number, x), code.toString(16), closing, zeros)
  for (const name of names[String.fromCodePoint(code)]?.split(' ') ?? []) write(ampersand, name, closing)
  return from
}

/** All names of ASCII characters. */
const names: Readonly<Record<string, string>> = {
  '\t': 'Tab',
  '\n': 'NewLine',
  '!': 'excl',
  '"': 'quot QUOT',
  '#': 'num',
  $: 'dollar',
  '%': 'percnt',
  '&': 'amp AMP',
  "'": 'apos',
  '(': 'lpar',
  ')': 'rpar',
  '*': 'ast midast',
  '+': 'plus',
  ',': 'comma',
  '.': 'period',
  '/': 'sol',
  ':': 'colon',
  ';': 'semi',
  '<': 'lt LT',
  '=': 'equals',
  '>': 'gt GT',
  '?': 'quest',
  '@': 'commat',
  '[': 'lsqb lbrack',
  '\\': 'bsol',
  ']': 'rsqb rbrack',
  '^': 'Hat',
  _: 'lowbar UnderBar',
  '`': 'grave DiacriticalGrave',
  '{': 'lcub lbrace',
  '|': 'verbar vert VerticalLine',
  '}': 'rcub rbrace',
}

function draft(end = false): Draft {
  return { next: new Map(), end }
}

/** Writes a text behind a place. It leads `to` that place, or to one that is given. */
function write(from: Draft, text: string, to?: Draft): Draft {
  let at = from
  for (let i = 0; i < text.length; i += 1) {
    const byte = text.charCodeAt(i)
    const known = at.next.get(byte)
    const next = i === text.length - 1 && to !== undefined ? joined(known, to) : (known ?? draft())
    at.next.set(byte, next)
    at = next
  }
  return at
}

/** One place that goes on as either of two does. */
function joined(known: Draft | undefined, to: Draft): Draft {
  if (known === undefined || known === to) return to
  const both = draft(known.end || to.end)
  for (const [byte, next] of [...known.next, ...to.next]) both.next.set(byte, joined(both.next.get(byte), next))
  return both
}

/** Writes a number, in digits of either case, behind so many zeros or fewer. */
function digits(from: Draft, number: string, to: Draft, zeros = 0): void {
  let rest = to
  for (let i = number.length - 1; i > 0; i -= 1) {
    const before = draft()
    eitherCase(before, number.charAt(i), rest)
    rest = before
  }
  let at = from
  eitherCase(at, number.charAt(0), rest)
  for (let zero = 0; zero < zeros; zero += 1) {
    at = write(at, '0')
    eitherCase(at, number.charAt(0), rest)
  }
}

function eitherCase(from: Draft, digit: string, to: Draft): void {
  for (const each of new Set([digit, digit.toUpperCase()])) write(from, each, to)
}

/** Writes the bytes one by one, as a mark and two hex digits each. */
function eachByte(from: Draft, mark: string, bytes: readonly number[], done: Draft): void {
  bytes.reduce((at, byte, i) => {
    const to = i === bytes.length - 1 ? done : draft()
    digits(write(at, mark), byte.toString(16).padStart(2, '0'), to)
    return to
  }, from)
}
