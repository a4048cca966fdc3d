/**
 * Endpoints that answer with a new secret, by the shape of their path: of what keeps, builds and ships code, which anyone may
 * host under any name and prefix, and of the protocols that all products share. Sources: the API references, named beside each.
 */
import { anywhere, atHost, atRoot } from './minting-row.ts'
import type { MintingRow } from './minting-row.ts'

const key = 'access by a key of its own'

export const codeProducts: readonly MintingRow[] = [
  ...protocols(),
  ...github(),
  ...gitlab(),
  ...otherForges(),
  ...builds(),
  ...registries(),
]

/** RFC 6749, RFC 8628 and RFC 7591; distribution.github.io/distribution/spec/auth/token; docs.npmjs.com/cli/commands/npm-token. */
function protocols(): readonly MintingRow[] {
  const paths = '/token /oauth/token /oauth2/token /oauth/access_token /oauth2/access_token /login/oauth/access_token'.split(' ')
  const more = '/oauth2/v1/token /oauth2/v2.0/token /oauth/v2/token /oauth2/*/v1/token /connect/token /api/oidc/token'.split(' ')
  return [
    // At the root only: below it, a path that ends in `/token` may be many things.
    ...atRoot('GET POST', 'a token', '/token', '/v2/token', '/v2/auth', '/service/token', '/jwt/auth', '/auth/token'),
    ...anywhere('GET POST', 'a registry token', '/jwt/auth', '/service/token', '/api/docker/*/v2/token'),
    ...anywhere('POST', 'an OAuth token', ...paths.slice(1), ...more, '/application/o/token', '/api/o/token'),
    ...anywhere('POST', 'a login', '/login/device/code', '/oauth/device/code', '/oauth/authorize_device', '/oauth2/device/code'),
    ...anywhere('POST', 'an OAuth token', '/oauth2/exchange', '/plugins/servlet/oauth/access-token'),
    // npm, Verdaccio, and the npm registries within others
    ...anywhere('POST', 'an npm token', '/-/npm/v1/tokens', '/-/v1/login', '/-/verdaccio/sec/login', '/-/npm/v1/user'),
    ...anywhere('POST', 'an npm token', '/-/npm/v1/oidc/token/exchange/package/**'),
    ...anywhere('PUT', 'an npm token', '/-/user/**'),
    ...anywhere('POST', 'a token', '/_/oidc/mint-token'),
  ]
}

/** docs.github.com/rest, docs.github.com/enterprise-server/rest: apps, actions, keys; the latter under `/api/v3`. */
function github(): readonly MintingRow[] {
  const both = (methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] => [
    ...atHost(/^api\.(?:github\.com|[a-z0-9-]+\.ghe\.com)$/, methods, mints, ...paths),
    ...anywhere(methods, mints, ...paths.map((path) => `/api/v3${path}`)),
  ]
  return [
    ...both('POST', 'an installation token', '/app/installations/*/access_tokens'),
    ...both('POST PATCH', 'an OAuth token', '/applications/*/token', '/applications/*/token/scoped'),
    ...both('POST PUT', 'an OAuth token', '/authorizations', '/authorizations/clients/**', '/admin/users/*/authorizations'),
    ...both('POST', 'the secrets of an app', '/app-manifests/*/conversions'),
    ...['/repos/*/*', '/orgs/*'].flatMap((scope) =>
      both(
        'POST',
        'a runner token',
        `${scope}/actions/runners/registration-token`,
        `${scope}/actions/runners/remove-token`,
        `${scope}/actions/runners/generate-jitconfig`,
      ),
    ),
    ...both('POST', 'a runner token', '/enterprises/*/actions/runners/**'),
    ...both('POST', key, '/repos/*/*/keys', '/user/keys', '/user/gpg_keys', '/user/ssh_signing_keys', '/admin/keys'),
    ...anywhere('POST', key, '/setup/api/settings/authorized-keys', '/manage/v1/access/ssh'),
  ]
}

/** docs.gitlab.com/api: access, deploy, runner, trigger and agent tokens, applications, keys. */
function gitlab(): readonly MintingRow[] {
  const api = (methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] =>
    anywhere(methods, mints, ...paths.map((path) => `/api/v4${path}`))
  return [
    ...api(
      'POST',
      'an access token',
      '/users/*/personal_access_tokens',
      '/users/*/impersonation_tokens',
      '/user/personal_access_tokens',
      '/personal_access_tokens/*/rotate',
      '/projects/*/access_tokens/**',
      '/groups/*/access_tokens/**',
      '/groups/*/service_accounts/*/personal_access_tokens/**',
      '/projects/*/service_accounts/*/personal_access_tokens/**',
      '/projects/*/cluster_agents/*/tokens',
    ),
    ...api('POST', 'a deploy token', '/projects/*/deploy_tokens', '/groups/*/deploy_tokens'),
    ...api('POST', 'a trigger token', '/projects/*/triggers'),
    ...api(
      'POST',
      'a runner token',
      '/runners',
      '/user/runners',
      '/runners/*/reset_authentication_token',
      '/runners/reset_authentication_token',
      '/runners/reset_registration_token',
      '/projects/*/runners/reset_registration_token',
      '/groups/*/runners/reset_registration_token',
    ),
    ...api('POST', 'the secrets of an application', '/applications', '/applications/*/renew-secret'),
    ...api('POST', key, '/projects/*/deploy_keys', '/user/keys', '/user/gpg_keys', '/users/*/keys', '/users/*/gpg_keys'),
    ...api('POST', key, '/groups/*/ssh_certificates', '/projects/*/error_tracking/client_keys'),
    ...anywhere('POST', 'an access token', '/-/user_settings/personal_access_tokens', '/-/profile/personal_access_tokens'),
  ]
}

/** docs.gitea.com/api, codeberg.org/api/swagger, developer.atlassian.com/server, gerrit-review.googlesource.com/Documentation/rest-api. */
function otherForges(): readonly MintingRow[] {
  return [
    // Gitea, Forgejo, Gogs
    ...anywhere('POST', 'an access token', '/api/v1/users/*/tokens', '/user/settings/applications'),
    ...anywhere(
      'POST PATCH',
      'the secrets of an application',
      '/api/v1/user/applications/oauth2',
      '/api/v1/user/applications/oauth2/*',
    ),
    ...anywhere(
      'GET POST',
      'a runner token',
      '/api/v1/repos/*/*/actions/runners/registration-token',
      '/api/v1/repos/*/*/runners/registration-token',
      '/api/v1/orgs/*/actions/runners/registration-token',
      '/api/v1/user/actions/runners/registration-token',
      '/api/v1/admin/actions/runners/registration-token',
      '/api/v1/admin/runners/registration-token',
    ),
    ...anywhere(
      'POST',
      key,
      '/api/v1/repos/*/*/keys',
      '/api/v1/user/keys',
      '/api/v1/user/gpg_keys',
      '/api/v1/admin/users/*/keys',
    ),
    // Bitbucket, Jira, Confluence, Bamboo
    ...anywhere('PUT POST', 'an access token', '/rest/access-tokens/*/**', '/rest/pat/*/tokens'),
    ...anywhere(
      'POST',
      key,
      '/rest/ssh/*/keys',
      '/rest/gpg/*/keys',
      '/rest/keys/*/projects/*/ssh',
      '/rest/keys/*/projects/*/repos/*/ssh',
    ),
    ...anywhere('POST', 'an OAuth token', '/rest/oauth2/*/token'),
    ...anywhere('POST', 'a session', '/rest/auth/*/session', '/rest/usermanagement/*/session'),
    // Azure DevOps Server, Gerrit
    ...anywhere('POST PUT', 'an access token', '/_apis/tokens/pats', '/_apis/delegatedauth/sessiontokens'),
    ...anywhere('PUT POST', 'an access token', '/a/accounts/*/password.http', '/a/accounts/*/tokens/*'),
    ...anywhere('POST', key, '/a/accounts/*/sshkeys'),
  ]
}

/** jenkins.io/doc, jetbrains.com/help/teamcity/rest, docs.sonarsource.com, developer.hashicorp.com/terraform, docs.rundeck.com … */
function builds(): readonly MintingRow[] {
  const jenkins = '/descriptorbyname/jenkins.security.apitokenproperty'
  return [
    ...anywhere('POST', 'an API token', `${jenkins}/generateNewToken`, `${jenkins}/addFixedNewToken`),
    ...anywhere('GET', 'the secret of a node', '/computer/*/slave-agent.jnlp', '/computer/*/jenkins-agent.jnlp'),
    ...anywhere('POST', 'an access token', '/app/rest/users/*/tokens/**', '/app/rest/*/users/*/tokens/**'),
    ...anywhere('POST', 'a user token', '/api/user_tokens/generate'),
    // Drone, Woodpecker; Concourse; CircleCI
    ...anywhere('POST', 'a user token', '/api/user/token', '/api/users/*/token/rotate', '/api/user/token/rotate'),
    ...anywhere('GET POST', 'an access token', '/sky/issuer/token', '/sky/token'),
    ...anywhere('POST', 'a token', '/api/v2/project/*/*/*/checkout-key', '/api/*/runner/token'),
    // Terraform Enterprise, AWX, Rundeck, Airflow, Argo CD
    ...anywhere(
      'POST',
      'a token',
      '/api/v2/users/*/authentication-tokens',
      '/api/v2/organizations/*/authentication-token',
      '/api/v2/teams/*/authentication-token',
      '/api/v2/teams/*/authentication-tokens',
      '/api/v2/agent-pools/*/authentication-tokens',
    ),
    ...anywhere('POST', 'a token', '/api/v2/tokens', '/api/v2/users/*/tokens', '/api/v2/users/*/personal_tokens'),
    ...anywhere('POST', 'a token', '/auth/token/cli'),
    ...anywhere('POST', 'a token', '/api/v1/session', '/api/v1/projects/*/roles/*/token', '/api/v1/account/*/token'),
  ]
}

/** jfrog.com/help, help.sonatype.com, goharbor.io/docs, docs.quay.io/api. */
function registries(): readonly MintingRow[] {
  return [
    // Artifactory
    ...anywhere('POST', 'an access token', '/access/api/v1/tokens/**', '/access/api/v1/oidc/token', '/access/api/v1/aws/token'),
    ...anywhere('POST', 'an access token', '/api/security/token', '/api/security/token/**'),
    ...anywhere('GET POST PUT', 'an API key', '/api/security/apiKey', '/api/security/encryptedPassword'),
    ...anywhere('GET', 'an npm token', '/api/npm/auth', '/api/npm/*/auth', '/api/npm/*/auth/*'),
    // Nexus
    ...anywhere(
      'GET POST',
      'a user token',
      '/service/rest/internal/current-user/user-token',
      '/service/siesta/usertoken/current',
    ),
    ...anywhere('GET POST', 'an API key', '/service/rest/internal/nuget-api-key'),
    ...anywhere('POST', 'a session', '/service/rapture/session'),
    // Harbor
    ...anywhere('POST', 'a robot account', '/api/v2.0/robots', '/api/v2.0/projects/*/robots'),
    ...anywhere('PATCH', 'a robot account', '/api/v2.0/robots/*'),
    ...anywhere('PUT', 'a secret for the command line', '/api/v2.0/users/*/cli_secret'),
    // Quay
    ...anywhere('GET PUT', 'a robot account', '/api/v1/organization/*/robots/*', '/api/v1/user/robots/*'),
    ...anywhere('POST', 'a robot account', '/api/v1/organization/*/robots/*/regenerate', '/api/v1/user/robots/*/regenerate'),
    ...anywhere('POST', 'a token', '/api/v1/user/apptoken', '/api/v1/user/clientkey'),
    ...anywhere('GET', 'a token', '/api/v1/user/apptoken/*'),
    ...anywhere('POST', 'the secrets of an application', '/api/v1/organization/*/applications/*/resetclientsecret'),
  ]
}
