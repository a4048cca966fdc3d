/** Endpoints of public services that answer with a new secret. Sources: the providers' API references, named beside each. */
import { atHost } from './minting-row.ts'
import type { MintingRow } from './minting-row.ts'

const anthropic = /^api\.anthropic\.com$/
const openai = /^api\.openai\.com$/
const gemini = /^generativelanguage\.googleapis\.com$/
const slack = /^(?:www\.)?slack\.com$/
const bitbucket = /^api\.bitbucket\.org$/
const dockerHub = /^hub\.docker\.com$/

export const publicHosts: readonly MintingRow[] = [
  // platform.claude.com/docs/en/api/admin-api, and what Claude Code's login asks for.
  ...atHost(anthropic, 'POST', 'an API key', '/api/oauth/claude_cli/create_api_key', '/v1/organizations/api_keys/**'),
  ...atHost(anthropic, 'GET POST', 'a token', '/v1/tunnels/*/reveal_token', '/v1/organizations/service_accounts/**'),
  // platform.openai.com/docs/api-reference/project-api-keys, …/admin-api-keys
  ...atHost(openai, 'POST', 'an API key', '/v1/organization/admin_api_keys', '/v1/organization/projects/*/service_accounts'),
  // openrouter.ai/docs/api-reference/api-keys, …/authentication
  ...atHost(/^openrouter\.ai$/, 'POST', 'an API key', '/api/v1/keys', '/api/v1/auth/keys', '/api/v1/auth/keys/code'),
  // ai.google.dev/gemini-api/docs/ephemeral-tokens
  ...atHost(gemini, 'POST', 'a token', '/v1alpha/auth_tokens', '/v1alpha/authtokens', '/v1beta/auth_tokens'),
  // cloud.google.com/iam/docs/reference/credentials/rest, …/iam/docs/reference/rest, …/storage/docs/json_api, …/api-keys
  ...atHost(/^iamcredentials\.googleapis\.com$/, 'POST', 'a Google token', '/v1/projects/*/serviceAccounts/*'),
  ...atHost(/^iam\.googleapis\.com$/, 'POST', 'a service account key', '/v1/projects/*/serviceAccounts/*/keys'),
  ...atHost(/^(?:storage|www)\.googleapis\.com$/, 'POST', 'an HMAC key', '/storage/v1/projects/*/hmacKeys'),
  ...atHost(/^apikeys\.googleapis\.com$/, 'POST', 'an API key', '/v2/projects/*/locations/*/keys'),
  ...atHost(/^apikeys\.googleapis\.com$/, 'GET', 'an API key', '/v2/projects/*/locations/*/keys/*/keyString'),
  ...atHost(/^sts\.googleapis\.com$/, 'POST', 'a Google token', '/v1/token', '/v1/oauthtoken'),
  // api.slack.com/methods
  ...atHost(slack, 'GET POST', 'a Slack token', '/api/oauth.access', '/api/oauth.v2.access', '/api/oauth.v2.exchange'),
  ...atHost(slack, 'GET POST', 'a socket’s ticket', '/api/apps.connections.open', '/api/tooling.tokens.rotate'),
  // developer.atlassian.com/cloud/bitbucket/rest
  ...atHost(/^bitbucket\.org$/, 'POST', 'an OAuth token', '/site/oauth2/access_token'),
  ...atHost(
    bitbucket,
    'POST',
    'access by a key of its own',
    '/2.0/users/*/ssh-keys',
    '/2.0/users/*/gpg-keys',
    '/2.0/repositories/*/*/deploy-keys',
  ),
  // docs.docker.com/reference/api/hub
  ...atHost(dockerHub, 'POST', 'a Docker Hub token', '/v2/users/login', '/v2/auth/token', '/v2/access-tokens'),
  ...atHost(dockerHub, 'POST', 'a Docker Hub token', '/v2/orgs/*/access-tokens'),
  // developers.cloudflare.com/api
  ...atHost(/^api\.cloudflare\.com$/, 'POST', 'an API token', '/client/v4/user/tokens', '/client/v4/accounts/*/tokens'),
  ...atHost(/^api\.cloudflare\.com$/, 'PUT', 'an API token', '/client/v4/user/tokens/*/value'),
  // vercel.com/docs/rest-api, docs.stripe.com/api, www.twilio.com/docs/iam/api/keys, docs.sendgrid.com
  ...atHost(/^api\.vercel\.com$/, 'POST', 'a token', '/v3/user/tokens'),
  ...atHost(/^api\.stripe\.com$/, 'POST', 'a key', '/v1/ephemeral_keys'),
  ...atHost(/^api\.twilio\.com$/, 'POST', 'an API key', '/2010-04-01/Accounts/*/Keys.json', '/2010-04-01/Accounts/*/Tokens.json'),
  ...atHost(/^api\.sendgrid\.com$/, 'POST', 'an API key', '/v3/api_keys'),
  // docs.datadoghq.com/api: api.datadoghq.com, api.datadoghq.eu, api.us5.datadoghq.com
  ...atHost(
    /^api\.(?:[a-z0-9]+\.)?datadoghq\.(?:com|eu)$/,
    'POST',
    'an API key',
    '/api/*/api_keys',
    '/api/*/application_keys',
    '/api/*/current_user/application_keys',
  ),
  // grafana.com/docs/grafana-cloud/developer-resources/api-reference/cloud-api
  ...atHost(
    /^(?:www\.)?grafana\.com$/,
    'POST',
    'a token',
    '/api/v1/tokens',
    '/api/orgs/*/api-keys',
    '/api/instances/*/api/auth/keys',
  ),
  // docs.pypi.org/trusted-publishers, crates.io/docs/trusted-publishing, guides.rubygems.org/rubygems-org-api
  ...atHost(/^(?:test\.)?pypi\.org$/, 'POST', 'a PyPI token', '/_/oidc/mint-token'),
  ...atHost(/^crates\.io$/, 'PUT POST', 'a crates.io token', '/api/v1/me/tokens', '/api/v1/trusted_publishing/tokens'),
  ...atHost(/^rubygems\.org$/, 'GET POST PUT', 'a RubyGems key', '/api/v1/api_key'),
  // docs.aws.amazon.com/codeartifact, …/singlesignon, …/rolesanywhere
  ...atHost(/^codeartifact\.[a-z0-9-]+\.amazonaws\.com$/, 'POST', 'a repository token', '/v1/authorization-token'),
]

/** docs.aws.amazon.com: they name their actions in the body or a header, so the whole service is meant. */
export const awsServices: readonly { readonly host: RegExp; readonly mints: string }[] = [
  { host: service('sts(?:-fips)?'), mints: 'temporary AWS credentials' },
  { host: service('iam(?:-fips|\\.global)?'), mints: 'AWS access keys' },
  { host: service('api\\.ecr(?:-public|-fips)?'), mints: 'a registry token' },
  { host: service('cognito-identity(?:-fips)?'), mints: 'temporary AWS credentials' },
  { host: service('portal\\.sso'), mints: 'temporary AWS credentials' },
  { host: service('oidc'), mints: 'an AWS token' },
  { host: service('rolesanywhere'), mints: 'temporary AWS credentials' },
]

/** `sts.amazonaws.com`, `sts.eu-central-1.amazonaws.com`, `sts.eu-central-1.api.aws`, `vpce-1.sts.eu-central-1.vpce.amazonaws.com`. */
function service(name: string): RegExp {
  return new RegExp(`^(?:vpce-[a-z0-9-]+\\.)?${name}(?:\\.[a-z0-9-]+)?(?:\\.vpce)?(?:\\.amazonaws\\.com(?:\\.cn)?|\\.api\\.aws)$`)
}
