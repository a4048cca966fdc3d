/** Names and scopes that someone else chose, made fit to be shown: short, and without anything that is no character. */
import { objectIn } from '../oauth/token-pair.ts'
import type { WhoamiReply } from './types.ts'

const longestName = 100
const mostScopes = 100

// Control and format characters, lone surrogates, separators of lines: they forge lines and reorder what is shown.
const invisible = /[\p{C}\p{Zl}\p{Zp}]/gu

/** `undefined`: it is no text, or nothing is left of it. */
export function nameIn(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  // Cut first: what is thrown away need not be looked through.
  const name = value
    .slice(0, longestName * 4)
    .replaceAll(invisible, '')
    .trim()
  return name === '' ? undefined : name.slice(0, longestName)
}

/** Scopes as they may be shown and compared (RFC 6749 section 3.3). */
export function scopeWords(scopes: readonly string[]): readonly string[] {
  return scopes.filter((scope) => /^[\x21-\x7e]{1,100}$/.test(scope)).slice(0, mostScopes)
}

/** What is told, without what is not. */
export function told(...values: readonly unknown[]): readonly string[] {
  return values.flatMap((value) => nameIn(value) ?? [])
}

/** The JSON object of a reply that says yes; else, as a text, why nobody knows. */
export function objectOf(provider: string, { status, body }: WhoamiReply): Readonly<Record<string, unknown>> | string {
  if (status !== 200) return `${provider} answered ${status}`
  return objectIn(body) ?? `${provider} answered with something that is not a JSON object`
}
