import type { IdentityProvider, Need } from './types.ts'
import { scopeWords } from './words.ts'

/** What is known of a grant, and what the policy makes of it. */
export interface HeldScopes {
  /** As the provider says. */
  readonly scopes: readonly string[]
  /** As the policy asks for; `undefined`: it asks for nothing in particular. */
  readonly wanted: readonly string[] | undefined
  /** The most that agents may do with it. */
  readonly use: 'none' | 'reads' | 'writes' | 'all'
  readonly provider: IdentityProvider | undefined
}

/** From least to most; `none`: no rule uses it, which the check of the policy has said. */
const order: readonly (Need | 'none')[] = ['none', 'reads', 'writes', 'all', 'nobody']

const allowed = {
  none: '',
  reads: ', while its rules only let agents read',
  writes: ', while its rules let agents write in some places only',
  all: '',
} as const

/** Scopes that let nobody do anything more (OpenID Connect Core sections 3.1.2.1 and 11). */
const harmless: ReadonlySet<string> = new Set(['openid', 'offline_access'])

/** What an operator should look at: a grant that is wider than the policy uses, or lacks what the policy needs. */
export function reviewGrant({ scopes, wanted, use, provider }: HeldScopes): readonly string[] {
  const held = scopeWords(scopes)
  const includes = (one: string, other: string): boolean => provider?.includes(one, other) ?? one === other
  const unused = use === 'none' ? [] : held.filter((scope) => order.indexOf(provider?.need(scope) ?? 'none') > order.indexOf(use))
  const unasked = wanted
    ? held.filter((scope) => !harmless.has(scope) && !unused.includes(scope) && !wanted.some((each) => includes(each, scope)))
    : []
  const missing = (wanted ?? []).filter((scope) => !held.some((each) => includes(each, scope)))
  return [
    ...(unused.length > 0 ? [`the grant is wider than the policy uses: ${unused.join(', ')}${allowed[use]}`] : []),
    ...(unasked.length > 0 ? [`the grant is wider than the policy asks for: ${unasked.join(', ')}`] : []),
    ...(missing.length > 0 ? [`the grant lacks what the policy asks for: ${missing.join(', ')}`] : []),
  ]
}
