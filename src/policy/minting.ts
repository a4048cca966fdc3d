/**
 * Endpoints that answer with a new secret: a key, a token, a code that becomes one. With a credential of ours an agent could have
 * one made that nobody scopes, rotates or takes back. Sources: the providers' API references, named in each row.
 */
import { LruMap } from '#base/async.ts'
import type { Host } from '#base/host.ts'
import { matchesPath, parsePathPattern } from './match.ts'
import type { PathPattern } from './types.ts'

interface Row {
  readonly host: RegExp
  readonly methods: readonly string[]
  readonly paths: readonly PathPattern[]
  /** What comes back, for the refusal. */
  readonly mints: string
}

const rows: readonly Row[] = [
  // platform.claude.com/docs/en/api/admin-api, and what Claude Code's login asks for.
  row(/^api\.anthropic\.com$/, 'POST', 'an API key', '/api/oauth/claude_cli/create_api_key', '/v1/organizations/api_keys/**'),
  row(/^api\.anthropic\.com$/, 'GET POST', 'a token', '/v1/tunnels/*/reveal_token', '/v1/organizations/service_accounts/**'),
  // platform.openai.com/docs/api-reference/realtime-sessions, …/project-api-keys, …/admin-api-keys
  row(/^api\.openai\.com$/, 'POST', 'a client secret', '/v1/realtime/client_secrets', '/v1/realtime/sessions'),
  row(
    /^api\.openai\.com$/,
    'POST',
    'an API key',
    '/v1/organization/admin_api_keys',
    '/v1/organization/projects/*/service_accounts',
  ),
  // ai.google.dev/gemini-api/docs/ephemeral-tokens
  row(
    /^generativelanguage\.googleapis\.com$/,
    'POST',
    'a token',
    '/v1alpha/auth_tokens',
    '/v1alpha/authtokens',
    '/v1beta/auth_tokens',
  ),
  // docs.github.com/rest: apps, actions, deploy keys, user keys
  row(/^api\.github\.com$/, 'POST', 'an installation token', '/app/installations/*/access_tokens'),
  row(/^api\.github\.com$/, 'POST PATCH', 'an OAuth token', '/applications/*/token', '/applications/*/token/scoped'),
  row(/^api\.github\.com$/, 'POST', 'the secrets of an app', '/app-manifests/*/conversions'),
  row(
    /^api\.github\.com$/,
    'POST',
    'a runner token',
    '/repos/*/*/actions/runners/registration-token',
    '/repos/*/*/actions/runners/remove-token',
    '/repos/*/*/actions/runners/generate-jitconfig',
    '/orgs/*/actions/runners/registration-token',
    '/orgs/*/actions/runners/remove-token',
    '/orgs/*/actions/runners/generate-jitconfig',
    '/enterprises/*/actions/runners/**',
  ),
  row(
    /^api\.github\.com$/,
    'POST',
    'access by a key of its own',
    '/repos/*/*/keys',
    '/user/keys',
    '/user/gpg_keys',
    '/user/ssh_signing_keys',
  ),
  row(/^github\.com$/, 'POST', 'an OAuth token', '/login/oauth/access_token', '/login/device/code'),
  // docs.gitlab.com/api: personal, project and group access tokens, deploy tokens and keys
  row(
    /^gitlab\.com$/,
    'POST',
    'an access token',
    '/api/v4/users/*/personal_access_tokens',
    '/api/v4/user/personal_access_tokens',
    '/api/v4/personal_access_tokens/*/rotate',
    '/api/v4/projects/*/access_tokens/**',
    '/api/v4/groups/*/access_tokens/**',
    '/api/v4/projects/*/deploy_tokens',
    '/api/v4/projects/*/deploy_keys',
    '/oauth/token',
  ),
  // docs.aws.amazon.com: STS, IAM and ECR name their actions in the body or a header, so the whole service is meant.
  row(/^sts(?:-fips)?(?:\.[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?$/, 'GET POST', 'temporary AWS credentials', '/**'),
  row(/^iam\.(?:amazonaws\.com|[a-z0-9-]+\.amazonaws\.com(?:\.cn)?)$/, 'GET POST', 'AWS access keys', '/**'),
  row(/^api\.ecr(?:-public)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/, 'POST', 'a registry token', '/**'),
  // cloud.google.com/iam/docs/reference/credentials/rest, …/iam/docs/reference/rest, …/storage/docs/json_api
  row(/^iamcredentials\.googleapis\.com$/, 'POST', 'a Google token', '/v1/projects/*/serviceAccounts/*'),
  row(/^iam\.googleapis\.com$/, 'POST', 'a service account key', '/v1/projects/*/serviceAccounts/*/keys'),
  row(/^storage\.googleapis\.com$/, 'POST', 'an HMAC key', '/storage/v1/projects/*/hmacKeys'),
  row(/^oauth2\.googleapis\.com$/, 'POST', 'a Google token', '/token'),
  // distribution.github.io/distribution/spec/auth/token
  row(/^ghcr\.io$|^auth\.docker\.io$/, 'GET POST', 'a registry token', '/token'),
  row(/^gitlab\.com$/, 'GET POST', 'a registry token', '/jwt/auth'),
  // docs.npmjs.com/cli/commands/npm-token
  row(/^registry\.npmjs\.(?:com|org)$/, 'POST', 'an npm token', '/-/npm/v1/tokens'),
  row(/^registry\.npmjs\.(?:com|org)$/, 'PUT', 'an npm token', '/-/user/*'),
  // api.slack.com/methods
  row(
    /^(?:www\.)?slack\.com$/,
    'GET POST',
    'a Slack token',
    '/api/oauth.access',
    '/api/oauth.v2.access',
    '/api/oauth.v2.exchange',
  ),
  row(/^(?:www\.)?slack\.com$/, 'GET POST', 'a socket’s ticket', '/api/apps.connections.open', '/api/tooling.tokens.rotate'),
]

/** What a request would have made, where it is one that is known to answer with a new secret. `segments`: of the judged path. */
export function mintedBy(host: Host, method: string, segments: readonly string[]): string | undefined {
  if (rowsOf(host).length === 0) return undefined
  const folded = segments.map((segment) => segment.toLowerCase())
  // Servers take a final slash or none, and any case, for the same endpoint.
  const bare = folded.length > 1 && folded.at(-1) === '' ? folded.slice(0, -1) : folded
  return rowsOf(host).find(({ methods, paths }) => methods.includes(method) && paths.some((path) => matchesPath(path, bare)))
    ?.mints
}

const known = new LruMap<Host, readonly Row[]>(1000)

/** The rows of a host, remembered: a host is asked for again and again. */
function rowsOf(host: Host): readonly Row[] {
  let found = known.get(host)
  if (!found) known.set(host, (found = rows.filter((each) => each.host.test(host))))
  return found
}

function row(host: RegExp, methods: string, mints: string, ...paths: readonly string[]): Row {
  return { host, methods: methods.split(' '), mints, paths: paths.map(lowered) }
}

function lowered(text: string): PathPattern {
  const pattern = parsePathPattern(text.toLowerCase())
  if ('refused' in pattern) throw new Error(pattern.refused)
  return pattern
}
