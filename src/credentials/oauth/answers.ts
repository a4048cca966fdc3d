import type { Credential } from '../types.ts'

/** Credentials by the token endpoints that are answered for them, as `host:port/path`. Made once per snapshot. */
export function indexAnswers(credentials: Iterable<Credential>): ReadonlyMap<string, readonly Credential[]> {
  const index = new Map<string, Credential[]>()
  for (const credential of credentials) {
    for (const { host, port, path } of credential.lease?.answers ?? []) {
      const key = `${host}:${port}${path}`
      index.set(key, [...(index.get(key) ?? []), credential])
    }
  }
  return index
}
