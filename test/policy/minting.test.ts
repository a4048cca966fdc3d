import { describe, expect, it } from 'vitest'
import { decide } from '#policy/decide.ts'
import { agentOf, askOf, snapshotOf } from '../kit/policy.ts'

const minting = [
  'POST https://api.anthropic.com/api/oauth/claude_cli/create_api_key',
  'POST https://api.anthropic.com/v1/organizations/api_keys',
  'GET https://api.anthropic.com/v1/tunnels/t/reveal_token',
  'POST https://api.openai.com/v1/realtime/client_secrets',
  'POST https://api.openai.com/v1/organization/admin_api_keys',
  'POST https://generativelanguage.googleapis.com/v1alpha/auth_tokens',
  'POST https://api.github.com/app/installations/1/access_tokens',
  'POST https://api.github.com/APP/installations/1/Access_Tokens/',
  'POST https://api.github.com/applications/c/token',
  'POST https://api.github.com/repos/o/r/actions/runners/registration-token',
  'POST https://api.github.com/orgs/o/actions/runners/remove-token',
  'POST https://api.github.com/repos/o/r/keys',
  'POST https://api.github.com/user/keys',
  'POST https://github.com/login/oauth/access_token',
  'POST https://gitlab.com/api/v4/projects/7/access_tokens',
  'GET https://sts.amazonaws.com/?Action=GetSessionToken',
  'POST https://sts.eu-central-1.amazonaws.com/',
  'POST https://iam.amazonaws.com/',
  'POST https://api.ecr.us-east-1.amazonaws.com/',
  'POST https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken',
  'POST https://iam.googleapis.com/v1/projects/p/serviceAccounts/s/keys',
  'POST https://storage.googleapis.com/storage/v1/projects/p/hmacKeys',
  'GET https://ghcr.io/token?service=ghcr.io&scope=repository:o/r:pull',
  'GET https://gitlab.com/jwt/auth',
  'POST https://registry.npmjs.com/-/npm/v1/tokens',
  'PUT https://registry.npmjs.com/-/user/org.couchdb.user:a',
  'POST https://slack.com/api/oauth.v2.access',
  'POST https://slack.com/api/apps.connections.open',
] as const

/** Of products that anyone may host, under any name and prefix. */
const hosted = [
  // GitHub Enterprise
  'POST https://ghe.corp.test/api/v3/repos/o/r/actions/runners/registration-token',
  'POST https://ghe.corp.test/api/v3/app/installations/1/access_tokens',
  'POST https://ghe.corp.test/api/v3/user/keys',
  'POST https://api.acme.ghe.com/orgs/o/actions/runners/generate-jitconfig',
  // GitLab
  'GET https://gitlab.corp.test/jwt/auth?service=container_registry',
  'POST https://gitlab.corp.test/api/v4/projects/group%2Fname/access_tokens',
  'POST https://gitlab.corp.test/git/api/v4/groups/7/access_tokens/9/rotate',
  'POST https://gitlab.corp.test/api/v4/projects/7/triggers',
  'POST https://gitlab.corp.test/api/v4/user/runners',
  'POST https://gitlab.corp.test/oauth/token',
  // Gitea, Forgejo
  'POST https://gitea.corp.test/api/v1/users/a/tokens',
  'GET https://gitea.corp.test/api/v1/repos/o/r/actions/runners/registration-token',
  'GET https://forgejo.corp.test/api/v1/admin/runners/registration-token',
  'POST https://forgejo.corp.test/api/v1/user/applications/oauth2',
  'POST https://forgejo.corp.test/login/oauth/access_token',
  // Bitbucket Data Center, Jira, Confluence
  'PUT https://bitbucket.corp.test/rest/access-tokens/1.0/users/a',
  'PUT https://bitbucket.corp.test/rest/access-tokens/latest/projects/P/repos/r',
  'POST https://bitbucket.corp.test/rest/ssh/1.0/keys',
  'POST https://corp.test/jira/rest/pat/latest/tokens',
  'POST https://confluence.corp.test/rest/pat/1.0/tokens',
  // Jenkins
  'POST https://ci.corp.test/me/descriptorByName/jenkins.security.ApiTokenProperty/generateNewToken',
  'POST https://ci.corp.test/jenkins/user/a/descriptorByName/jenkins.security.ApiTokenProperty/generateNewToken/',
  'GET https://ci.corp.test/computer/n/jenkins-agent.jnlp',
  // Artifactory, Nexus, Harbor, Quay, registries
  'POST https://jfrog.corp.test/access/api/v1/tokens',
  'POST https://jfrog.corp.test/artifactory/api/security/token',
  'PUT https://jfrog.corp.test/artifactory/api/security/apiKey',
  'GET https://jfrog.corp.test/artifactory/api/docker/docker-local/v2/token',
  'GET https://nexus.corp.test/service/rest/internal/current-user/user-token',
  'PUT https://nexus.corp.test/repository/npm/-/user/org.couchdb.user:a',
  'GET https://harbor.corp.test/service/token?service=harbor-registry',
  'POST https://harbor.corp.test/api/v2.0/robots',
  'PUT https://harbor.corp.test/api/v2.0/users/3/cli_secret',
  'POST https://quay.corp.test/api/v1/organization/o/robots/r/regenerate',
  'GET https://quay.corp.test/v2/auth?service=quay',
  'GET https://registry.corp.test/token?service=r&scope=repository:o/r:pull',
  // npm, Verdaccio
  'POST https://npm.corp.test/-/npm/v1/tokens',
  'PUT https://npm.corp.test/-%2fuser%2forg.couchdb.user:a',
  'POST https://npm.corp.test/-/verdaccio/sec/login',
  // Grafana, Sentry, Elastic
  'POST https://grafana.corp.test/api/serviceaccounts/1/tokens',
  'POST https://corp.test/grafana/api/auth/keys',
  'POST https://sentry.corp.test/api/0/api-tokens/',
  'POST https://sentry.corp.test/api/0/organizations/o/org-auth-tokens/',
  'PUT https://elastic.corp.test:9200/_security/api_key',
  // Vault, OpenBao, Consul, Nomad
  'POST https://vault.corp.test:8200/v1/auth/token/create',
  'PUT https://vault.corp.test/v1/auth/token/create/role',
  'POST https://bao.corp.test/v1/team/auth/approle/role/r/secret-id',
  'GET https://vault.corp.test/v1/database/creds/readonly',
  'GET https://vault.corp.test/v1/team/aws/creds/deploy',
  'POST https://vault.corp.test/v1/pki_int/issue/web',
  'POST https://bao.corp.test/v1/sys/wrapping/unwrap',
  'POST https://vault.corp.test/v1/auth/kubernetes/login',
  'PUT https://consul.corp.test/v1/acl/token',
  // Keycloak
  'POST https://sso.corp.test/realms/r/protocol/openid-connect/token',
  'POST https://sso.corp.test/auth/admin/realms/r/clients/c/client-secret',
  'POST https://sso.corp.test/admin/realms/r/clients-initial-access',
  'GET https://sso.corp.test/realms/r/broker/github/token',
  // Kubernetes, Argo CD, Rancher
  'POST https://kube.corp.test:6443/api/v1/namespaces/n/serviceaccounts/s/token',
  'POST https://rancher.corp.test/k8s/clusters/c/api/v1/namespaces/n/serviceaccounts/s/token',
  'POST https://kube.corp.test/apis/certificates.k8s.io/v1/certificatesigningrequests',
  'POST https://argocd.corp.test/api/v1/projects/p/roles/r/token',
  'POST https://argocd.corp.test/api/v1/account/a/token',
  'POST https://rancher.corp.test/v3/tokens',
  // Matrix, Mattermost, Rocket.Chat, Zulip
  'POST https://matrix.corp.test/_matrix/client/v3/login',
  'POST https://matrix.corp.test/_matrix/client/r0/user/@a:corp.test/openid/request_token',
  'POST https://matrix.corp.test/_synapse/admin/v1/users/@a:corp.test/login',
  'POST https://chat.corp.test/api/v4/users/me/tokens',
  'POST https://chat.corp.test/api/v4/oauth/apps/x/regen_secret',
  'POST https://rocket.corp.test/api/v1/users.generatePersonalAccessToken',
  'POST https://rocket.corp.test/api/v1/method.call/personalAccessTokens:generateToken',
  'POST https://zulip.corp.test/api/v1/users/me/api_key/regenerate',
  // MinIO and others like AWS, asked in the query
  'POST https://minio.corp.test/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15',
  // Others
  'POST https://tfe.corp.test/api/v2/users/u/authentication-tokens',
  'POST https://sonar.corp.test/api/user_tokens/generate?name=a',
  'POST https://hub.corp.test/hub/api/users/a/tokens',
  'POST https://llm.corp.test/key/generate',
  // Spelled otherwise
  'POST https://ghe.corp.test/API/v3/repos/o/r/Actions/runners/registration-token/',
  'POST https://gitlab.corp.test/api/v4/user;x/personal_access_tokens',
  'POST https://vault.corp.test/v1/auth%2Ftoken/create',
] as const

const ordinary = [
  'GET https://ghe.corp.test/api/v3/repos/o/r/keys',
  'GET https://ghe.corp.test/api/v3/repos/o/r/actions/runners',
  'GET https://gitlab.corp.test/api/v4/projects/group%2Fname/access_tokens',
  'POST https://gitlab.corp.test/api/v4/projects/7/issues',
  'GET https://gitlab.corp.test/group/name/-/raw/main/oauth/token',
  'POST https://gitea.corp.test/api/v1/repos/o/r/issues',
  'GET https://ci.corp.test/job/j/api/json',
  'GET https://jfrog.corp.test/artifactory/npm/left-pad/-/left-pad-1.0.0.tgz',
  'GET https://npm.corp.test/@scope%2fname',
  'GET https://registry.corp.test/v2/o/r/manifests/latest',
  'GET https://vault.corp.test/v1/secret/data/team/creds/db',
  'POST https://vault.corp.test/v1/transit/sign/key',
  'POST https://vault.corp.test/v1/auth/token/renew-self',
  'GET https://kube.corp.test/api/v1/namespaces/n/serviceaccounts/s',
  'PUT https://matrix.corp.test/_matrix/client/v3/rooms/!a:b/send/m.room.message/1',
  'POST https://chat.corp.test/api/v4/posts',
  'POST https://api.test/v1/messages/count_tokens',
  'POST https://api.test/v1/sessions',
  'POST https://api.test/api/v1/tokens/count',
  'POST https://api.test/files/login',
  'GET https://api.test/docs/token',
  'POST https://api.test/',
  'POST https://api.anthropic.com/v1/messages',
  'GET https://api.anthropic.com/api/oauth/profile',
  'POST https://api.openai.com/v1/responses',
  'GET https://api.github.com/repos/o/r/keys',
  'POST https://api.github.com/repos/o/r/pulls',
  'GET https://api.github.com/app/installations/1',
  'GET https://s3.amazonaws.com/bucket/key',
  'POST https://slack.com/api/chat.postMessage',
  'GET https://ghcr.io/v2/o/r/manifests/latest',
] as const

const signed = (host: string) =>
  `credentials: {key: {kind: aws-sigv4, stub: AKIAIOSFODNN7EXAMPLE, accessKeyId: AKIAIOSFODNN7EXAMPL2, regions: [us-east-1], services: [s3, sts, sqs], secret: {env: T}, hosts: ['${host}']}}
rules: [{id: r, hosts: ['${host}'], credentials: [key]}]`

describe('under a rule whose credentials only sign for AWS and what is like it', () => {
  it.each([
    ['POST https://minio.test/', true, 'mints_secret'],
    ['POST https://minio.test/?Action=AssumeRole&Version=2011-06-15', false, 'mints_secret'],
    ['POST https://minio.test/?Version=2010-05-08&Action=CreateAccessKey', false, 'mints_secret'],
    ['PUT https://minio.test/minio/admin/v3/add-service-account', false, 'mints_secret'],
    ['PUT https://ceph.test/admin/user?key&uid=a', false, 'mints_secret'],
    ['POST https://sts.eu-central-1.amazonaws.com/', true, 'mints_secret'],
    ['POST https://vpce-1.sts.eu-central-1.vpce.amazonaws.com/', true, 'mints_secret'],
    ['POST https://codeartifact.eu-central-1.amazonaws.com/v1/authorization-token?domain=d', false, 'mints_secret'],
    ['POST https://minio.test/?delete', false, 'allow'],
    ['POST https://dynamodb.test/', false, 'allow'],
    ['POST https://sqs.us-east-1.amazonaws.com/', true, 'allow'],
    ['POST https://sqs.us-east-1.amazonaws.com/1/queue', true, 'allow'],
    // A bucket may hold what it likes.
    ['GET https://s3.us-east-1.amazonaws.com/token', false, 'allow'],
    ['PUT https://minio.test/bucket/-/user/x', false, 'allow'],
    ['POST https://minio.test/bucket/api/v4/user/keys?uploads', false, 'allow'],
  ] as const)('%s, a form: %s: %s', async (line, form, expected) => {
    const snapshot = await snapshotOf(signed(askOf(line).host))
    const verdict = decide(snapshot.policy, agentOf(snapshot), { ...askOf(line), ...(form && { form }) })
    expect(verdict.kind === 'deny' ? verdict.code : 'allow').toBe(expected)
  })
})

async function judged(line: string, rule: string): Promise<string> {
  const { host, port } = askOf(line)
  const snapshot = await snapshotOf(
    `credentials: {key: {kind: bearer, stub: stub-of-key, secret: {env: T}, hosts: ['${host}']}}\nrules: [{id: r, hosts: ['${host}'], ports: [${port}], ${rule}}]`,
  )
  const verdict = decide(snapshot.policy, agentOf(snapshot), askOf(line))
  return verdict.kind === 'deny' ? verdict.code : 'allow'
}

describe('what would answer with a new secret', () => {
  it.each([...minting, ...hosted])('%s is refused under a rule that gives a credential', async (line) => {
    expect(await judged(line, 'credentials: [key]')).toBe('mints_secret')
  })

  it.each([...minting, ...hosted])('%s passes where the rule says so, and where it gives none', async (line) => {
    expect(await judged(line, 'credentials: [key], mints: allow')).toBe('allow')
    expect(await judged(line, 'foreign: refuse')).toBe('allow')
  })
})

it('at a token endpoint that is answered here stays here, and passes', async () => {
  const snapshot = await snapshotOf(
    'credentials: {key: {kind: bearer, stub: stub-of-key, secret: {env: T}, hosts: [oauth2.googleapis.com]}}\nrules: [{id: r, hosts: [oauth2.googleapis.com], credentials: [key]}]',
  )
  const ask = askOf('POST https://oauth2.googleapis.com/token')
  expect(decide(snapshot.policy, agentOf(snapshot), ask)).toMatchObject({ kind: 'deny', code: 'mints_secret' })
  expect(decide(snapshot.policy, agentOf(snapshot), { ...ask, answered: true }).kind).toBe('allow')
})

it.each(ordinary)('%s is an ordinary request', async (line) => {
  expect(await judged(line, 'credentials: [key]')).toBe('allow')
})

it('report mode lets it pass without the credential, and says what it would have done', async () => {
  const snapshot = await snapshotOf(`
agents: {a: {from: [{cidr: 127.0.0.1}], mode: report}}
credentials: {key: {kind: bearer, stub: stub-of-key, secret: {env: T}, hosts: [api.github.com]}}
rules: [{id: r, hosts: [api.github.com], credentials: [key]}]`)
  const verdict = decide(snapshot.policy, agentOf(snapshot), askOf('POST https://api.github.com/user/keys'))
  expect(verdict).toMatchObject({ kind: 'allow', rule: undefined, wouldDeny: { code: 'mints_secret' } })
})
