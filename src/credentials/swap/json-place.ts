/** Where a value stands in a JSON document, so that it can be exchanged and every other byte stays as it was sent. */

/** `start` and `end` count characters of the text. */
export interface JsonPlace {
  readonly kind: 'found'
  readonly start: number
  readonly end: number
  /** As `JSON.parse` reads it. */
  readonly value: unknown
}

/** What a pointer leads to. `ambiguous`: a key on the way stands twice, and readers differ on which of the two counts. */
export type JsonFinding = JsonPlace | { readonly kind: 'absent' } | { readonly kind: 'ambiguous' }

/** A JSON pointer (RFC 6901) as the keys it names; `undefined`: it is none, or it points at the whole document. */
export function parsePointer(text: string): readonly string[] | undefined {
  if (!/^(?:\/(?:[^~/]|~[01])*)+$/.test(text)) return undefined
  return text
    .slice(1)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Follows a pointer in a document, one character a byte. What is not JSON has nothing to point at. */
export function findInJson(text: string, pointer: readonly string[]): JsonFinding {
  let at = skipSpace(text, 0)
  for (const key of pointer) {
    const next = text[at] === '{' ? inObject(text, at, key) : text[at] === '[' ? inArray(text, at, key) : undefined
    if (next === 'ambiguous') return { kind: 'ambiguous' }
    if (next === undefined) return { kind: 'absent' }
    at = next
  }
  const end = skipValue(text, at)
  const value = end === undefined ? undefined : parsed(text.slice(at, end))
  return end === undefined || value === undefined ? { kind: 'absent' } : { kind: 'found', start: at, end, value }
}

/** Where the value of a member begins. */
function inObject(text: string, open: number, key: string): number | 'ambiguous' | undefined {
  let found: number | undefined
  let at = skipSpace(text, open + 1)
  while (text[at] === '"') {
    const keyEnd = skipString(text, at)
    if (keyEnd === undefined) return undefined
    const name = parsed(text.slice(at, keyEnd))
    const colon = skipSpace(text, keyEnd)
    if (text[colon] !== ':') return undefined
    const start = skipSpace(text, colon + 1)
    if (name === key) {
      if (found !== undefined) return 'ambiguous'
      found = start
    }
    const end = skipValue(text, start)
    if (end === undefined) return undefined
    at = skipSpace(text, end)
    if (text[at] === '}') return found
    if (text[at] !== ',') return undefined
    at = skipSpace(text, at + 1)
  }
  return undefined
}

/** Where the element of that number begins. */
function inArray(text: string, open: number, key: string): number | undefined {
  if (!/^(?:0|[1-9]\d{0,8})$/.test(key)) return undefined
  let at = skipSpace(text, open + 1)
  for (let left = Number(key); left > 0; left -= 1) {
    const end = skipValue(text, at)
    if (end === undefined) return undefined
    at = skipSpace(text, end)
    if (text[at] !== ',') return undefined
    at = skipSpace(text, at + 1)
  }
  return text[at] === ']' ? undefined : at
}

/** The first character after a value; `undefined`: there is no whole one. */
function skipValue(text: string, start: number): number | undefined {
  if (text[start] === '"') return skipString(text, start)
  if (text[start] !== '{' && text[start] !== '[') {
    const atom = /[-+.\w]+/y
    atom.lastIndex = start
    return atom.test(text) ? atom.lastIndex : undefined
  }
  let depth = 0
  for (let at = start; at < text.length; at += 1) {
    const character = text[at]
    if (character === '"') {
      const end = skipString(text, at)
      if (end === undefined) return undefined
      at = end - 1
    } else if (character === '{' || character === '[') depth += 1
    else if (character === '}' || character === ']') {
      depth -= 1
      if (depth === 0) return at + 1
    }
  }
  return undefined
}

function skipString(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === '"') return at + 1
  }
  return undefined
}

function skipSpace(text: string, start: number): number {
  let at = start
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1
  return at
}

/** The text is one character a byte; strings in it are UTF-8. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'latin1').toString('utf8'))
  } catch {
    return undefined
  }
}
