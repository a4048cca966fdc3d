/** git over HTTPS: which repository does a request touch, and does it read or write? */
import type { GitScopes } from './types.ts'

export interface GitOperation {
  /** `owner/name` in lower case, without `.git`; deeper where the host nests groups. */
  readonly repository: string
  /**
   * `lfs` may be either: a batch says upload or download only in its body, and locks are written by those who push. So it
   * needs both scopes, as nothing short of reading the body could tell.
   */
  readonly service: 'fetch' | 'push' | 'lfs'
}

const services = new Map([
  ['git-upload-pack', 'fetch'],
  ['git-receive-pack', 'push'],
] as const)

/**
 * Reads the smart HTTP protocol (git's Documentation/gitprotocol-http) and the LFS batch and lock APIs out of a request.
 * `undefined`: not a git request, or one that two servers could read differently.
 */
export function gitOperation(method: string, segments: readonly string[], query: string): GitOperation | undefined {
  const lfs = lfsAt(segments)
  if (lfs >= 0) return operation(segments.slice(0, lfs), isLfsCall(method, segments.slice(lfs + 2)) ? 'lfs' : undefined)
  const last = segments.at(-1)
  if (last === 'refs' && segments.at(-2) === 'info') {
    return operation(segments.slice(0, -2), method === 'GET' ? advertised(query) : undefined)
  }
  // Most requests have nothing to do with git and end here.
  const asked = method === 'POST' && query === '' ? service(last) : undefined
  return asked === undefined ? undefined : operation(segments.slice(0, -1), asked)
}

/** Where `info/lfs` begins; -1: nowhere. */
function lfsAt(segments: readonly string[]): number {
  for (let at = 1; at < segments.length; at += 1) if (segments[at] === 'lfs' && segments[at - 1] === 'info') return at - 1
  return -1
}

/** Whether a repository scope of the policy covers an operation. */
export function inGitScope(scopes: GitScopes, asked: GitOperation): boolean {
  const covered = (patterns: readonly string[]) => patterns.some((pattern) => matchesScope(pattern, asked.repository))
  return asked.service === 'lfs' ? covered(scopes.fetch) && covered(scopes.push) : covered(scopes[asked.service])
}

/** `owner/name` in the one spelling that requests are compared in; `undefined`: not a scope. */
export function parseGitScope(text: string): string | undefined {
  const scope = text.toLowerCase().replace(/\.git$/, '')
  return /^(?:\*|[a-z0-9._-]+)(?:\/(?:\*|[a-z0-9._-]+))+$/.test(scope) ? scope : undefined
}

function matchesScope(scope: string, repository: string): boolean {
  const parts = repository.split('/')
  const wanted = scope.split('/')
  return wanted.length === parts.length && wanted.every((part, at) => part === '*' || part === parts[at])
}

function operation(path: readonly string[], asked: GitOperation['service'] | undefined): GitOperation | undefined {
  if (asked === undefined || path.length < 2) return undefined
  const repository = parseGitScope(path.join('/'))
  return repository === undefined || repository.includes('*') ? undefined : { repository, service: asked }
}

function service(name: string | undefined): 'fetch' | 'push' | undefined {
  return services.get(name as 'git-upload-pack')
}

// Exactly one parameter: of two, which one counts is the server's choice.
function advertised(query: string): 'fetch' | 'push' | undefined {
  return query.startsWith('?service=') ? service(query.slice('?service='.length)) : undefined
}

/** Which service a clone or a push asks about first; the audit writes it, as it writes no query. */
export function askedService(path: string, query: string): 'fetch' | 'push' | undefined {
  return path.endsWith('/info/refs') ? advertised(query) : undefined
}

function isLfsCall(method: string, rest: readonly string[]): boolean {
  if (rest[0] === 'locks') return method === 'GET' || method === 'POST'
  return method === 'POST' && rest.join('/') === 'objects/batch'
}
