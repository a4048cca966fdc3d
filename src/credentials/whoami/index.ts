/** The registry of those who can say whose a value is: one file, one line here, one test file. */
import { z } from 'zod'
import type { HostPattern } from '#base/host.ts'
import type { Placer } from '../types.ts'
import { claude } from './claude.ts'
import { githubApp } from './github-app.ts'
import { github } from './github.ts'
import type { IdentityProvider, Whoami } from './types.ts'

/** The first of a host is asked there by default. */
export const identityProviders: readonly IdentityProvider[] = [github, githubApp, claude]

export const whoamiField = z
  .enum(['github', 'github-app', 'claude', 'off'])
  .optional()
  .meta({ description: 'Who says whose the value is and what it may do; default: by the hosts, where they are exactly theirs' })

/** What a policy entry says that matters here. */
export interface IdentityQuestion {
  readonly whoami?: z.output<typeof whoamiField>
  readonly hosts: readonly HostPattern[]
}

/**
 * Whom to ask about a credential; `undefined`: nobody. The value goes to a host of its credential only, so one of them has
 * to be written out, and only where it can be sent as a bearer token. `usual` is what its kind has in place of the default.
 */
export function whoamiOf(
  { whoami, hosts }: IdentityQuestion,
  placer: Pick<Placer, 'header' | 'headers'>,
  stub: string | undefined,
  usual?: string,
): Whoami | undefined {
  if (whoami === 'off' || placer.header?.('authorization', `Bearer ${stub}`, () => '') === undefined) return undefined
  // A value that is sent in other headers too is a key, and those who know logins do not know keys.
  if (whoami === undefined && placer.headers.length > 1) return undefined
  const exact = hosts.flatMap((pattern) => (pattern.kind === 'exact' ? [pattern.host] : []))
  const candidates = identityProviders.filter(({ name }) => name === (whoami ?? usual ?? name))
  for (const provider of candidates) {
    const host = exact.find((each) => each === provider.host)
    if (host) return { provider, host }
  }
  const [named] = candidates
  const host = exact.find((each) => each.startsWith('api.')) ?? exact[0]
  return whoami !== undefined && named && host ? { provider: named, host } : undefined
}
