/**
 * Endpoints that answer with a new secret, by the shape of their path: of services that anyone may host under any name and
 * prefix, but for those around code (`minting-code.ts`). Sources: the API references, named beside each.
 */
import { anywhere, anywhereBut, anywhereSigned } from './minting-row.ts'
import type { MintingRow } from './minting-row.ts'

export const services: readonly MintingRow[] = [
  ...identityProviders(),
  ...secretStores(),
  ...clusters(),
  ...chats(),
  ...monitoring(),
  ...models(),
  ...data(),
  ...objectStores(),
]

/** keycloak.org/docs-api, docs.goauthentik.io, zitadel.com/docs, fusionauth.io/docs, developer.okta.com. */
function identityProviders(): readonly MintingRow[] {
  const realm = '/realms/*'
  const admin = '/admin/realms/*'
  return [
    // Keycloak
    ...anywhere(
      'POST',
      'an OAuth token',
      `${realm}/protocol/openid-connect/token`,
      `${realm}/protocol/openid-connect/auth/device`,
    ),
    ...anywhere('POST', 'a login', `${realm}/protocol/openid-connect/ext/ciba/auth`),
    ...anywhere('GET', 'a token of another provider', `${realm}/broker/*/token`),
    ...anywhere(
      'GET POST PUT',
      'the secret of a client',
      `${realm}/clients-registrations/**`,
      `${admin}/clients/*/client-secret`,
    ),
    ...anywhere('GET POST', 'the secret of a client', `${admin}/clients/*/client-secret/rotated`),
    ...anywhere('GET', 'the secret of a client', `${admin}/clients/*/installation/providers/*`),
    ...anywhere(
      'POST',
      'a registration token',
      `${admin}/clients-initial-access`,
      `${admin}/clients/*/registration-access-token`,
    ),
    ...anywhere('POST', 'a session', `${admin}/users/*/impersonation`),
    ...anywhere('POST', 'a private key', `${admin}/clients/*/certificates/*/generate-and-download`),
    // authentik, Zitadel, FusionAuth, Okta
    ...anywhere('GET', 'a token', '/api/v3/core/tokens/*/view_key'),
    ...anywhere('POST', 'a token', '/api/v3/core/tokens', '/api/v3/core/users/service_account'),
    ...anywhere(
      'POST',
      'a token',
      '/management/v1/users/*/pats',
      '/management/v1/users/*/keys',
      '/v2/users/*/pats',
      '/v2/users/*/keys',
    ),
    ...anywhere('PUT POST', 'a secret', '/management/v1/users/*/secret', '/v2/users/*/secret'),
    ...anywhere('POST', 'an API key', '/api/api-key', '/api/api-key/*'),
  ]
}

/** developer.hashicorp.com/vault/api-docs, openbao.org/api-docs; mounts may have other names, and namespaces stand before. */
function secretStores(): readonly MintingRow[] {
  const stored = '/**/v1/**/data/**'
  const authorities = ['pki', 'pki_int', 'pki-int', 'pki_intermediate', 'pki-intermediate', 'pki_root', 'pki-root']
  return [
    ...anywhere('POST PUT', 'a Vault token', '/v1/**/auth/token/create/**', '/v1/**/auth/token/create-orphan'),
    ...anywhere('GET POST PUT', 'a Vault token', '/v1/**/auth/*/login', '/v1/**/auth/*/login/**', '/v1/**/auth/*/oidc/callback'),
    ...anywhere('POST PUT', 'the secret of a role', '/v1/**/auth/*/role/*/secret-id', '/v1/**/auth/*/role/*/custom-secret-id'),
    ...anywhereBut(stored, 'GET POST PUT', 'credentials', '/v1/*/creds/*', '/v1/*/*/creds/*', '/v1/*/static-cred/*'),
    ...anywhereBut(stored, 'GET POST PUT', 'credentials', '/v1/*/static-creds/*', '/v1/*/*/static-creds/*', '/v1/*/sts/*'),
    ...anywhere('GET POST PUT', 'a Google token', '/v1/gcp/token/*', '/v1/gcp/key/*', '/v1/gcp/*/*/token', '/v1/gcp/*/*/key'),
    // By the names that mounts usually have: `transit` signs too, and its key stays where it is.
    ...['ssh', 'ssh-client-signer', 'ssh-host-signer', ...authorities].flatMap((mount) =>
      anywhere(
        'POST PUT',
        'a certificate',
        `/v1/**/${mount}/sign/*`,
        `/v1/**/${mount}/sign-verbatim/**`,
        `/v1/**/${mount}/issue/*`,
      ),
    ),
    ...anywhere('POST PUT', 'a private key', '/v1/*/*/generate/exported', '/v1/*/*/*/generate/exported'),
    ...anywhere('GET', 'a token', '/v1/**/identity/oidc/token/*'),
    ...anywhere('POST PUT', 'a wrapped secret', '/v1/**/sys/wrapping/unwrap', '/v1/**/sys/wrapping/rewrap'),
    ...anywhere('POST PUT', 'keys of the vault', '/v1/sys/init', '/v1/sys/rekey/**', '/v1/sys/generate-root/**'),
    ...anywhere('GET POST PUT', 'a key', '/v1/transit/export/**', '/v1/transit/datakey/plaintext/*'),
    // Consul, Nomad
    ...anywhere(
      'PUT POST',
      'an ACL token',
      '/v1/acl/token',
      '/v1/acl/token/*/clone',
      '/v1/acl/token/onetime',
      '/v1/acl/bootstrap',
    ),
    ...anywhere('PUT POST', 'an ACL token', '/v1/acl/login', '/v1/acl/oidc/complete-auth', '/v1/acl/token/onetime/exchange'),
    ...anywhere('GET', 'a private key', '/v1/agent/connect/ca/leaf/*'),
  ]
}

/** kubernetes.io/docs/reference/kubernetes-api, docs.openshift.com, rancher.com/docs, docs.portainer.io, pve.proxmox.com. */
function clusters(): readonly MintingRow[] {
  const requests = '/apis/certificates.k8s.io/*/certificatesigningrequests'
  return [
    ...anywhere('POST', 'a service account token', '/api/v1/namespaces/*/serviceaccounts/*/token'),
    ...anywhere('POST', 'a client certificate', requests),
    ...anywhere('PUT PATCH', 'a client certificate', `${requests}/*/approval`),
    ...anywhere(
      'POST',
      'an OAuth token',
      '/apis/oauth.openshift.io/*/oauthaccesstokens',
      '/oauth/token/request',
      '/oauth/token/display',
    ),
    ...anywhere('POST', 'a token', '/v3/tokens', '/v3/token', '/v3/clusterregistrationtokens'),
    ...anywhere('POST', 'a token', '/api/users/*/tokens', '/api2/json/access/ticket', '/api2/json/access/users/*/token/*'),
    // JupyterHub, NetBox, Headscale, Tailscale
    ...anywhere('POST', 'a token', '/hub/api/users/*/tokens', '/hub/api/authorizations/token'),
    ...anywhere('POST', 'a token', '/api/users/tokens', '/api/users/tokens/provision'),
    ...anywhere('POST', 'an API key', '/api/v1/preauthkey', '/api/v1/apikey', '/api/v2/tailnet/*/keys'),
  ]
}

/** spec.matrix.org, element-hq.github.io/synapse, developers.mattermost.com, developer.rocket.chat, zulip.com/api. */
function chats(): readonly MintingRow[] {
  const matrix = '/_matrix/client/*'
  return [
    ...anywhere(
      'POST',
      'a Matrix token',
      `${matrix}/login`,
      `${matrix}/login/get_token`,
      `${matrix}/register`,
      `${matrix}/refresh`,
    ),
    ...anywhere('POST', 'a Matrix token', `${matrix}/user/*/openid/request_token`, '/_synapse/admin/*/users/*/login'),
    ...anywhere('POST', 'a Matrix token', '/_synapse/admin/*/register', '/_synapse/admin/*/registration_tokens/new'),
    // Mattermost
    ...anywhere('POST', 'an access token', '/api/v4/users/*/tokens', '/api/v4/users/login', '/api/v4/users/login/*'),
    ...anywhere('POST', 'the secrets of an application', '/api/v4/oauth/apps', '/api/v4/oauth/apps/*/regen_secret'),
    ...anywhere('POST', 'the URL of a hook', '/api/v4/hooks/incoming', '/api/v4/hooks/outgoing'),
    ...anywhere('PUT POST', 'a token', '/api/v4/hooks/outgoing/*/regen_token', '/api/v4/commands/*/regen_token'),
    ...anywhere('POST', 'a second factor', '/api/v4/users/*/mfa/generate'),
    // Rocket.Chat
    ...anywhere(
      'POST',
      'an access token',
      '/api/v1/login',
      '/api/v1/users.createToken',
      '/api/v1/users.generatePersonalAccessToken',
    ),
    ...anywhere('POST', 'an access token', '/api/v1/users.regeneratePersonalAccessToken', '/api/v1/method.call/login'),
    ...anywhere('POST', 'an access token', '/api/v1/method.call/personalAccessTokens:generateToken'),
    ...anywhere('POST', 'an access token', '/api/v1/method.call/personalAccessTokens:regenerateToken'),
    ...anywhere('POST', 'the secrets of an application', '/api/v1/oauth-apps.create', '/api/v1/integrations.create'),
    // Zulip, Discourse, Nextcloud
    ...anywhere('POST', 'an API key', '/api/v1/fetch_api_key', '/api/v1/users/me/api_key/regenerate', '/admin/api/keys'),
    ...anywhere(
      'GET POST',
      'an app password',
      '/ocs/v2.php/core/getapppassword',
      '/index.php/login/v2',
      '/index.php/login/v2/poll',
    ),
  ]
}

/** grafana.com/docs/grafana/latest/developers/http_api, docs.sentry.io/api, elastic.co/guide, docs.influxdata.com, docs.splunk.com. */
function monitoring(): readonly MintingRow[] {
  const sentry = '/api/0'
  return [
    ...anywhere('POST', 'an API key', '/api/auth/keys', '/api/serviceaccounts/*/tokens'),
    ...anywhere('POST', 'an API key', '/apis/iam.grafana.app/*/namespaces/*/serviceaccounts/*/tokens'),
    ...anywhere(
      'POST',
      'a Sentry token',
      `${sentry}/api-tokens`,
      `${sentry}/organizations/*/org-auth-tokens`,
      `${sentry}/organizations/*/api-keys`,
      `${sentry}/sentry-apps/*/api-tokens`,
      `${sentry}/sentry-app-installations/*/authorizations`,
      `${sentry}/auth`,
    ),
    ...anywhere(
      'POST',
      'the secrets of an application',
      `${sentry}/api-applications`,
      `${sentry}/api-applications/*/rotate-secret`,
    ),
    ...anywhere('POST', 'a client key', `${sentry}/projects/*/*/keys`),
    // Elasticsearch, Kibana
    ...anywhere('POST PUT', 'an API key', '/_security/api_key', '/_security/api_key/grant', '/_security/cross_cluster/api_key'),
    ...anywhere('POST PUT', 'a token', '/_security/service/*/*/credential/token/**', '/_security/profile/_activate'),
    ...anywhere('POST', 'a token', '/_security/saml/authenticate', '/_security/oidc/authenticate', '/_security/delegate_pki'),
    ...anywhere('GET', 'an enrollment token', '/_security/enroll/kibana', '/_security/enroll/node'),
    ...anywhere(
      'POST',
      'an API key',
      '/internal/security/api_key',
      '/api/fleet/enrollment_api_keys',
      '/api/fleet/service_tokens',
    ),
    // InfluxDB, Splunk
    ...anywhere('POST', 'a token', '/api/v2/authorizations', '/services/authorization/tokens', '/services/auth/login'),
  ]
}

/** platform.openai.com/docs/api-reference/realtime-sessions and what speaks like it; docs.litellm.ai, docs.openwebui.com, langfuse.com/docs. */
function models(): readonly MintingRow[] {
  return [
    ...anywhere(
      'POST',
      'a client secret',
      '/v1/realtime/client_secrets',
      '/v1/realtime/sessions',
      '/v1/realtime/transcription_sessions',
    ),
    ...anywhere('POST', 'a client secret', '/openai/realtimeapi/sessions'),
    ...anywhere('POST', 'an API key', '/key/generate', '/key/service-account/generate', '/key/*/regenerate', '/user/new'),
    ...anywhere('POST', 'an API key', '/api/v1/auths/api_key', '/api/public/projects/*/apiKeys', '/rest/api-keys'),
  ]
}

/** docs.databricks.com/api, docs.snowflake.com, metabase.com/docs, superset.apache.org, mongodb.com/docs, supabase.com/docs. */
function data(): readonly MintingRow[] {
  return [
    ...anywhere('POST', 'a token', '/api/2.0/token/create', '/api/2.0/token-management/on-behalf-of/tokens'),
    ...anywhere('POST', 'a session', '/session/v1/login-request', '/api/v1/security/login'),
    ...anywhere('POST', 'an API key', '/api/v1/security/guest_token'),
    ...anywhere(
      'POST',
      'an API key',
      '/api/public/v1.0/orgs/*/apiKeys',
      '/api/atlas/*/orgs/*/apiKeys',
      '/api/atlas/*/groups/*/apiKeys',
    ),
    ...anywhere('POST', 'a token', '/auth/v1/token', '/auth/v1/admin/generate_link'),
  ]
}

/** github.com/minio/madmin-go, docs.ceph.com/en/latest/radosgw/adminops, garagehq.deuxfleurs.fr; for STS see `minting.ts`. */
function objectStores(): readonly MintingRow[] {
  return [
    ...anywhereSigned(
      'GET POST PUT',
      'AWS credentials',
      '/minio/admin/*/add-service-account',
      '/minio/admin/*/update-service-account',
    ),
    ...anywhereSigned(
      'PUT POST',
      'AWS credentials',
      '/minio/admin/*/idp/ldap/add-service-account',
      '/minio/admin/*/idp/*/add-service-account',
    ),
    ...anywhereSigned('PUT POST', 'AWS credentials', '/admin/user'),
    ...anywhere('POST', 'AWS credentials', '/api/v1/service-accounts', '/api/v1/service-account-credentials', '/v2/CreateKey'),
  ]
}
