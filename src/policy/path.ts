/**
 * The canonical path: what a rule is compared with. The path itself goes out byte for byte, so only what every server
 * must read in the same way may pass; the rest is refused, never repaired.
 */

/** A path taken apart for matching, or why it cannot be judged. */
export type JudgedPath = { readonly segments: readonly string[] } | { readonly refused: string }

/**
 * Takes a request path apart (RFC 3986 section 3.3). `path` is as sent, without query, one character a byte.
 * Segments come in one spelling: an escaped printable character is that character, except that `%2F`, `%25` and `%2A`
 * stay escapes, so that they never equal a separator, the start of an escape or a wildcard. A final slash gives one
 * empty segment at the end. Linear in the length of the path.
 */
export function judgePath(path: string): JudgedPath {
  if (path !== lastPath) {
    lastJudged = judge(path)
    lastPath = path
  }
  return lastJudged
}

/** The screen asks first and the policy after it, both of one path. */
let lastPath = '/'
let lastJudged: JudgedPath = { segments: [''] }

function judge(path: string): JudgedPath {
  const refused = refusal(path)
  if (refused !== undefined) return { refused }
  const parts = path.slice(1).split('/')
  if (parts.slice(0, -1).includes('')) return { refused: 'the path has an empty segment ("//")' }
  for (const part of parts) {
    const hidden = hiddenIn(part)
    if (hidden !== undefined) return { refused: hidden }
  }
  return { segments: parts.map(canonicalSegment) }
}

function refusal(path: string): string | undefined {
  if (!path.startsWith('/')) return 'the path does not start with "/"'
  if (/[^!-~]/.test(path)) return 'the path has a space, a control character or a byte outside ASCII'
  if (/[?#]/.test(path)) return 'the path has a "?" or "#"'
  if (/\\|%5c/i.test(path)) return 'the path has a backslash'
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
    const character = String.fromCharCode(Number.parseInt(found.slice(1), 16))
    return /[!-~]/.test(character) && !'/%*'.includes(character) ? character : found.toUpperCase()
  })
}

/** What one more reading of the escapes, by a server that reads them twice, would make of a segment. */
function hiddenIn(segment: string): string | undefined {
  let text = readEscapes(segment)
  if (hasDotSegment(text)) return 'the path has a dot segment'
  // Each round reads what the one before left; a path that means anything is done after one.
  for (let round = 0; text.includes('%'); round++) {
    const next = readEscapes(text)
    if (next === text) return undefined
    if (round === 2) return 'the path is escaped over and over'
    if (hasDotSegment(next)) return 'the path has a doubly escaped dot segment'
    if (/[^ -[\]-~\x80-\xff]/.test(next) || slashes(next) > slashes(text)) {
      return 'the path has a doubly escaped slash, backslash or control character'
    }
    text = next
  }
  return undefined
}

function readEscapes(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

// Some servers cut `;…` off before they resolve dots, and some take `%2F` for a separator.
function hasDotSegment(text: string): boolean {
  return text.split('/').some((part) => /^\.\.?(?:;|$)/.test(part))
}

function slashes(text: string): number {
  return text.split('/').length
}
