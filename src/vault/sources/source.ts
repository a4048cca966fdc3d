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

function jsonString(content: string, key: string): string {
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch {
    // Without the parser's message: it quotes what it read.
    throw new ProxyError('credential_unavailable', 'the content is not JSON')
  }
  const value = typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, key) ? (parsed as Record<string, unknown>)[key] : undefined
  if (typeof value !== 'string') throw new ProxyError('credential_unavailable', `the JSON has no string at "${key}"`)
  return value
}
