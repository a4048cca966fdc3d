import { ProxyError } from '#base/errors.ts'
import type { SecretRef } from '#base/secret.ts'

/** One place real values can live in. Adding one is a file and a line in `index.ts`. */
export interface Source {
  /** Whether this source reads the reference. */
  owns(ref: SecretRef): boolean
  /** The raw content. Throws whatever reading throws. */
  read(ref: SecretRef): string
  /** What to watch for a new value; `undefined` when a new value needs a restart. */
  path(ref: SecretRef): string | undefined
}

const unusable = /[\r\n\0]/

/**
 * The value inside what a source holds: the whole text, or one string of a JSON object. White space around it goes, since
 * editors and `echo` leave a newline. Throws `credential_unavailable` for what could not stand in a header.
 */
export function valueIn(content: string, ref: SecretRef): string {
  const text = ref.jsonKey === undefined ? content : jsonString(content, ref.jsonKey)
  const value = text.trim()
  if (value === '') throw new ProxyError('credential_unavailable', 'the value is empty')
  if (unusable.test(value)) throw new ProxyError('credential_unavailable', 'the value holds a line break or NUL')
  return value
}

/**
 * The same for what is read and not placed: keys in PEM and seeds, which have lines. Below `jsonKey` may be an object,
 * which stays JSON. Throws `credential_unavailable`.
 */
export function materialIn(content: string, ref: SecretRef): string {
  const found = ref.jsonKey === undefined ? content : jsonAt(content, ref.jsonKey)
  const text = (typeof found === 'object' && found !== null ? JSON.stringify(found) : asString(found, ref.jsonKey)).trim()
  if (text === '') throw new ProxyError('credential_unavailable', 'the value is empty')
  return text
}

function jsonString(content: string, key: string): string {
  return asString(jsonAt(content, key), key)
}

function asString(value: unknown, key: string | undefined): string {
  if (typeof value !== 'string') throw new ProxyError('credential_unavailable', `the JSON has no string at "${key}"`)
  return value
}

function jsonAt(content: string, key: string): unknown {
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch {
    // Without the parser's message: it quotes what it read.
    throw new ProxyError('credential_unavailable', 'the content is not JSON')
  }
  return typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, key)
    ? (parsed as Record<string, unknown>)[key]
    : undefined
}
