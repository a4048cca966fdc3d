/**
 * The canonical path: what a rule is compared with. The path itself goes out byte for byte, so what two servers could read
 * as two paths is compared in every reading, or refused. Nothing is ever repaired.
 */

/** A path taken apart: one segment for each slash that was sent. A final slash gives one empty segment at the end. */
export type Segments = readonly string[]

export interface PathReadings {
  /** As sent. */
  readonly segments: Segments
  /** What other servers make of it: an encoded slash is a slash, `;…` is no part of a segment. Mostly there is none. */
  readonly others: readonly Segments[]
  /** Why no rule can look at it: servers differ in too many ways. It may pass only where its reading decides nothing. */
  readonly obscure?: string
}

/** A path taken apart for matching, or why it must not pass at all. */
export type JudgedPath = PathReadings | { readonly refused: string }

/** Why a path must not pass, whatever the policy says; `undefined`: the policy decides. Cheap for an ordinary path. */
export function refusePath(path: string): string | undefined {
  if (isOrdinary(path)) return undefined
  const judged = judgeOdd(path)
  return 'refused' in judged ? judged.refused : undefined
}

/**
 * Takes a request path apart (RFC 3986 section 3.3). `path` is as sent, without query, one character a byte.
 * Segments come in one spelling: an escaped printable character is that character, except that `%2F`, `%25` and `%2A`
 * stay escapes, so that they never equal a separator, the start of an escape or a wildcard. Linear in the length of the path.
 */
export function judgePath(path: string): JudgedPath {
  return isOrdinary(path) ? { segments: path.slice(1).split('/'), others: none } : judgeOdd(path)
}

const none: readonly never[] = []

/** Printable ASCII that neither a server nor this file reads as anything but itself. */
const ordinary = Uint8Array.from({ length: 128 }, (_, code) =>
  /[!-~]/.test(letter(code)) && !/[%*;?#\\]/.test(letter(code)) ? 1 : 0,
)

/** Whether a path has none of the characters with a second reading, no empty segment and none that begins with a dot. */
function isOrdinary(path: string): boolean {
  const { length } = path
  if (path.charCodeAt(0) !== slash) return false
  let before = 0
  for (let i = 0; i < length; i += 1) {
    const code = path.charCodeAt(i)
    if (ordinary[code] !== 1 || (before === slash && (code === slash || code === dot))) return false
    before = code
  }
  return true
}

const slash = 0x2f
const dot = 0x2e

function judgeOdd(path: string): JudgedPath {
  const refused = refusal(path)
  if (refused !== undefined) return { refused }
  const parts = path.slice(1).split('/')
  let obscure = parts.slice(0, -1).includes('') ? 'the path has an empty segment ("//")' : undefined
  for (const part of parts) {
    const hidden = hiddenIn(part)
    if (hidden?.refused !== undefined) return { refused: hidden.refused }
    obscure ??= hidden?.obscure
  }
  const segments = parts.map(canonicalSegment)
  const others = otherReadings(segments, obscure !== undefined)
  return obscure === undefined ? { segments, others } : { segments, others, obscure }
}

function refusal(path: string): string | undefined {
  if (!path.startsWith('/')) return 'the path does not start with "/"'
  if (/[^!-~]/.test(path)) return 'the path has a space, a control character or a byte outside ASCII'
  if (/[?#]/.test(path)) return 'the path has a "?" or "#"'
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'the path has a percent sign that starts no escape'
  if (/%(?:[01][0-9a-f]|7f)/i.test(path)) return 'the path has an escaped control character'
  // Longer than needed spellings of ASCII in UTF-8 (RFC 3629 section 3): some servers still read `%c0%ae` as a dot.
  if (/%c[01]|%e0%[89]|%f0%8/i.test(path)) return 'the path has an overlong UTF-8 escape'
  return undefined
}

/** One spelling for each segment: printable ASCII as it is, everything else as an upper-case escape. */
function canonicalSegment(segment: string): string {
  return segment.replace(/%[0-9a-f]{2}|\*/gi, (found) => {
    if (found === '*') return '%2A'
    const character = letter(Number.parseInt(found.slice(1), 16))
    return /[!-~]/.test(character) && !'/%*'.includes(character) ? character : found.toUpperCase()
  })
}

/** What one more reading of the escapes, by a server that reads them twice, would make of a segment. */
function hiddenIn(segment: string): { readonly refused?: string; readonly obscure?: string } | undefined {
  let text = readEscapes(segment)
  if (hasDotSegment(text)) return { refused: 'the path has a dot segment' }
  let obscure = text.includes('\\') ? 'the path has a backslash' : undefined
  // Each round reads what the one before left; a path that means anything is done after one.
  for (let round = 0; text.includes('%'); round++) {
    const next = readEscapes(text)
    if (next === text) break
    if (round === 2) return { refused: 'the path is escaped over and over' }
    if (hasDotSegment(next)) return { refused: 'the path has a doubly escaped dot segment' }
    if (/[^ -~\x80-\xff]/.test(next)) return { refused: 'the path has a doubly escaped control character' }
    if (separators(next) > separators(text)) obscure ??= 'the path has a doubly escaped slash or backslash'
    text = next
  }
  return obscure === undefined ? undefined : { obscure }
}

function readEscapes(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => letter(Number.parseInt(hex, 16)))
}

// Some servers cut `;…` off before they resolve dots, and some take `%2F` or a backslash for a separator.
function hasDotSegment(text: string): boolean {
  return text.split(/[/\\]/).some((part) => /^\.\.?(?:;|$)/.test(part))
}

function separators(text: string): number {
  return text.split(/[/\\]/).length
}

/**
 * What servers make of these segments that read an encoded slash as a slash (Go, Node and many proxies), that cut path
 * parameters off (Java's, RFC 3986 section 3.3), that do both in either order, and then fold `//` or do not.
 */
export function otherReadings(segments: Segments, obscure = false): readonly Segments[] {
  if (!obscure && !segments.some((segment) => segment.includes('%2F') || segment.includes(';'))) return none
  const decoded = obscure ? segments.map((segment) => canonicalSegment(segment.replaceAll(/%(?:25)+/g, '%'))) : segments
  const found = [split(decoded), cut(segments), cut(split(decoded)), split(cut(decoded))]
  const known = new Set([segments.join('/')])
  return [...found, ...found.map(folded)].filter((reading) => {
    const text = reading.join('/')
    return !known.has(text) && known.add(text)
  })
}

function split(segments: Segments): Segments {
  return segments.flatMap((segment) => segment.split(/%2F|\\/))
}

function cut(segments: Segments): Segments {
  return segments.map((segment) => segment.replace(/;.*$/, ''))
}

/** Without the empty segments before the last. */
function folded(segments: Segments): Segments {
  return segments.filter((segment, at) => segment !== '' || at === segments.length - 1)
}

function letter(code: number): string {
  return String.fromCharCode(code)
}
