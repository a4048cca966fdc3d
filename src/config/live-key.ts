/** Finds real values written into a policy, where only the place of a secret belongs. */

// Prefixes that services publish so that leaks can be found; lengths are lower bounds of what they issue.
const shapes: readonly (readonly [RegExp, string])[] = [
  [/\bsk-ant-[\w-]{20,}/, 'an Anthropic key'],
  [/\bsk-[\w-]{20,}/, 'an API key'],
  [/\b(?:gh[oprsu]_\w{20,}|github_pat_\w{20,})/, 'a GitHub token'],
  [/\bglpat-[\w-]{20,}/, 'a GitLab token'],
  [/\bAIza[\w-]{35}/, 'a Google key'],
  [/\bxox[abeoprs]-[\w-]{10,}/, 'a Slack token'],
  [/\bnpm_\w{36}/, 'an npm token'],
  [/\bsyt_\w{6,}_\w{20}_\w{6}\b/, 'a Matrix token'],
  [/\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\./, 'a JSON Web Token'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'a private key'],
]

/** What a text looks like when it looks like a live key; a stub says that it is one. */
export function liveKey(text: string): string | undefined {
  if (/stub|fake|dummy|example|placeholder/i.test(text)) return undefined
  return shapes.find(([shape]) => shape.test(text))?.[1]
}

/** Paths of all texts in plain data that look like live keys, with what they look like. */
export function findLiveKeys(
  data: unknown,
  path: readonly PropertyKey[] = [],
): { path: readonly PropertyKey[]; looksLike: string }[] {
  if (typeof data === 'string') {
    const looksLike = liveKey(data)
    return looksLike === undefined ? [] : [{ path, looksLike }]
  }
  if (Array.isArray(data)) return data.flatMap((item, index) => findLiveKeys(item, [...path, index]))
  if (typeof data !== 'object' || data === null) return []
  return Object.entries(data).flatMap(([key, value]) => findLiveKeys(value, [...path, key]))
}
