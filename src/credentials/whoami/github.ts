import type { Host } from '#base/host.ts'
import type { IdentityProvider, Need, WhoamiAnswer, WhoamiReply } from './types.ts'
import { nameIn, objectOf, scopeWords, told } from './words.ts'

/** A user of GitHub: personal access tokens, and tokens of OAuth apps and of Apps for a user. */
export const github: IdentityProvider = {
  name: 'github',
  host: 'api.github.com',
  question: (host) => ({ path: `${apiPath(host)}/user`, headers: githubHeaders }),
  read,
  includes,
  need,
}

export const githubHeaders = ['accept', 'application/vnd.github+json', 'x-github-api-version', '2022-11-28'] as const

/** Enterprise Server has its API below a path of its one host; everything else has a host `api.…`. */
export function apiPath(host: Host): string {
  return host.startsWith('api.') ? '' : '/api/v3'
}

function read(reply: WhoamiReply): WhoamiAnswer {
  const body = objectOf('GitHub', reply)
  if (typeof body === 'string') return { kind: 'unknown', reason: body }
  const who = nameIn(body['login'])
  if (who === undefined) return { kind: 'unknown', reason: 'GitHub answered without a login' }
  // Classic tokens alone have it, and an empty one says "none"; of fine-grained tokens GitHub tells no permissions.
  const scopes = reply.header('x-oauth-scopes')
  const expires = nameIn(reply.header('github-authentication-token-expiration'))
  return {
    kind: 'known',
    who,
    about: told(expires === undefined ? undefined : `expires ${expires}`),
    scopes: scopes === undefined ? undefined : scopeWords(scopes.split(',').map((each) => each.trim())),
  }
}

// GitHub documentation, "Scopes for OAuth apps": a scope includes those below it.
const below: Readonly<Record<string, readonly string[]>> = {
  repo: ['repo:status', 'repo_deployment', 'public_repo', 'repo:invite', 'security_events'],
  user: ['read:user', 'user:email', 'user:follow'],
  project: ['read:project'],
  codespace: ['codespace:secrets'],
  'admin:org': ['write:org'],
  'write:org': ['read:org', 'manage_runners:org'],
  'admin:repo_hook': ['write:repo_hook'],
  'write:repo_hook': ['read:repo_hook'],
  'admin:public_key': ['write:public_key'],
  'write:public_key': ['read:public_key'],
  'admin:gpg_key': ['write:gpg_key'],
  'write:gpg_key': ['read:gpg_key'],
  'write:packages': ['read:packages'],
}

function includes(held: string, wanted: string): boolean {
  return held === wanted || (below[held] ?? []).some((each) => includes(each, wanted))
}

/** `repo` is the only classic scope that reads private repositories, and it writes: a fine-grained token can do less. */
function need(scope: string): Need {
  if (/^(?:admin:|manage_|delete_repo$|site_admin$)/.test(scope)) return 'all'
  if (/^(?:write:|delete:)/.test(scope) || writing.has(scope)) return 'writes'
  return 'reads'
}

const writing: ReadonlySet<string> = new Set(
  'repo public_repo repo:status repo_deployment repo:invite workflow gist user user:follow project codespace'.split(' '),
)
