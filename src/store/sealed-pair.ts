import { z } from 'zod'
import { Secret } from '#base/secret.ts'
import type { Pair } from '#credentials/lease.ts'

/** `null` is what JSON makes of an expiry that is no finite number: none that could be kept. */
const writtenPair = z.strictObject({
  access: z.string(),
  refresh: z.string().optional(),
  expiresAt: z.number().nullish(),
  scopes: z.array(z.string()).optional(),
})

/** A pair as text, to be sealed at once. */
export function writePair(pair: Pair): string {
  const { access, refresh, expiresAt, scopes } = pair
  return JSON.stringify({ access: access.expose(), refresh: refresh?.expose(), expiresAt, scopes })
}

/** The pair in such a text; `undefined`: there is none in it. */
export function readPair(text: string, credential: string): Pair | undefined {
  const written = writtenPair.safeParse(parseJson(text)).data
  if (!written) return undefined
  const { access, refresh, expiresAt, scopes } = written
  return {
    access: new Secret(`${credential} access`, access),
    refresh: refresh === undefined ? undefined : new Secret(`${credential} refresh`, refresh),
    expiresAt: expiresAt ?? undefined,
    scopes,
  }
}

/** What a sealed pair is bound to. */
export function pairContext(credential: string, generation: number): readonly [string, number, string] {
  return [credential, generation, 'pair']
}

/** What a sealed reason is bound to. Without the generation: it stays when a late reply still brings the next pair. */
export function reasonContext(credential: string): readonly [string, string] {
  return [credential, 'needs_login']
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
