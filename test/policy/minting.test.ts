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

const ordinary = [
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

async function judged(line: string, rule: string): Promise<string> {
  const { host } = askOf(line)
  const snapshot = await snapshotOf(
    `credentials: {key: {kind: bearer, stub: stub-of-key, secret: {env: T}, hosts: ['${host}']}}\nrules: [{id: r, hosts: ['${host}'], ${rule}}]`,
  )
  const verdict = decide(snapshot.policy, agentOf(snapshot), askOf(line))
  return verdict.kind === 'deny' ? verdict.code : 'allow'
}

describe('what would answer with a new secret', () => {
  it.each(minting)('%s is refused under a rule that gives a credential', async (line) => {
    expect(await judged(line, 'credentials: [key]')).toBe('mints_secret')
  })

  it.each(minting)('%s passes where the rule says so, and where it gives none', async (line) => {
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
