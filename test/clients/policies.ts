/** The policy of each state. Stubs are the same in all, so that a client is set up once. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { State } from './types.ts'

const stubs = join(import.meta.dirname, '..', '..', 'policies', 'examples', 'stubs')
export const stubFile = (name: string): string => readFileSync(join(stubs, name), 'utf8')
const codexStub = (JSON.parse(stubFile('codex-auth.json')) as { tokens: { access_token: string } }).tokens.access_token

/** Hosts of models: their rules have a meter that knows them. */
export const modelHosts = [
  'api.anthropic.com',
  'api.openai.com',
  'chatgpt.com',
  'generativelanguage.googleapis.com',
  'cloudcode-pa.googleapis.com',
] as const
/** All others: what they cost is a fixed price, so that a budget can end there too. */
export const otherHosts = [
  'api.example.com',
  'api.github.com',
  'github.com',
  'npm.example.com',
  'pypi.example.com',
  'go.example.com',
  'crates.example.com',
  'index.example.com',
  's3.us-east-1.amazonaws.com',
  'www.googleapis.com',
] as const
/** Where logins are renewed. */
export const tokenHosts = ['login.example.com', 'platform.claude.com', 'auth.openai.com', 'oauth2.googleapis.com'] as const

/** Names of secret files with a value; the files of logins are the suite's own. */
export const secrets = ['anthropic', 'openai', 'google', 'github', 'npm', 'http', 'aws', 'google-client'] as const

interface Key {
  readonly id: (typeof secrets)[number]
  readonly stub: string
  readonly hosts: readonly string[]
  /** In addition to a Bearer token. */
  readonly header?: string
}

const keys: readonly Key[] = [
  { id: 'anthropic', stub: 'sk-ant-stub', hosts: ['api.anthropic.com'], header: 'x-api-key' },
  { id: 'openai', stub: 'sk-stub-openai', hosts: ['api.openai.com'] },
  { id: 'google', stub: 'gemini-key-stub', hosts: ['generativelanguage.googleapis.com'], header: 'x-goog-api-key' },
  { id: 'github', stub: 'proxy-token-github', hosts: ['api.github.com', 'github.com'] },
  { id: 'npm', stub: 'npm-stub-token', hosts: ['npm.example.com'] },
  { id: 'http', stub: 'http-stub', hosts: ['api.example.com'] },
]

export function policyOf(state: State): string {
  const ended = state === 'ended'
  const limit = state === 'budget' ? 0 : 1_000_000_000
  const all = [...keys.map(({ id }) => id), 'aws', 'claude', 'codex', 'gemini']
  const rules = [
    { id: 'tokens', hosts: tokenHosts.filter((host) => host !== 'login.example.com'), more: '' },
    { id: 'models', hosts: modelHosts, more: 'meter: auto, ' },
    { id: 'others', hosts: otherHosts, more: 'meter: openai-compatible, price: {tokens: 1}, ' },
  ]
  const lines = [
    'version: 1',
    'agents: {tester: {from: [{cidr: 127.0.0.0/8}, {cidr: 198.18.0.0/24}], budget: day}}',
    `budgets: {day: {window: day, tokens: ${limit}}}`,
    'credentials:',
    ...keys.map((key) => `  ${key.id}: ${ended ? endedLogin(key) : held(key)}`),
    '  aws: {kind: aws-sigv4, stub: AKIASTUBSTUBSTUBSTUB, accessKeyId: AKIAEXAMPLEEXAMPLE00, secret: {file: secrets/aws}, regions: [us-east-1], services: [s3], hosts: [s3.us-east-1.amazonaws.com]}',
    `  claude: ${login('claude', ended, 'access-token-stub', 'refresh-token-stub', 'https://platform.claude.com/v1/oauth/token', ['api.anthropic.com'], 'scopes: [user:inference, user:profile, user:sessions:claude_code, user:mcp_servers, user:file_upload]')}`,
    `  codex: ${login('codex', ended, codexStub, 'codex-refresh-stub', 'https://auth.openai.com/oauth/token', ['chatgpt.com'])}`,
    `  gemini: ${login('gemini', ended, 'gemini-access-stub', 'gemini-refresh-stub', 'https://oauth2.googleapis.com/token', ['cloudcode-pa.googleapis.com', 'oauth2.googleapis.com', 'www.googleapis.com'], 'clientSecret: {file: secrets/google-client}, clientAuth: body')}`,
    'rules:',
    ...(state === 'denied' ? rules.slice(0, 1) : rules).map(
      ({ id, hosts, more }) => `  - {id: ${id}, hosts: [${hosts.join(', ')}], ${more}credentials: [${all.join(', ')}]}`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

function held({ id, stub, hosts, header }: Key): string {
  const rest = `stub: ${stub}, secret: {file: secrets/${id}}, hosts: [${hosts.join(', ')}]}`
  if (header === undefined) return `{kind: bearer, ${rest}`
  return `{kind: header, headers: [{name: ${header}}, {name: authorization, format: "Bearer {}"}], ${rest}`
}

function endedLogin({ id, stub, hosts }: Key): string {
  return login(`${id}-login`, true, stub, `${stub}-refresh`, 'https://login.example.com/token', hosts)
}

function login(
  name: string,
  ended: boolean,
  access: string,
  refresh: string,
  endpoint: string,
  hosts: readonly string[],
  more = '',
): string {
  const grant = `secrets/${ended ? 'ended' : 'login'}-${name}.json`
  return `{kind: oauth2, stubs: {access: ${access}, refresh: ${refresh}}, grant: {file: ${grant}}, tokenEndpoint: ${endpoint}, clientId: client, hosts: [${hosts.join(', ')}]${more && `, ${more}`}}`
}

/** Files of logins: those that are well have a day left, those that have ended are run out, and their refresh token is not known any more. */
export function seeds(now: number): Readonly<Record<string, string>> {
  const well = ['claude', 'codex', 'gemini']
  const names = [...well, ...keys.map(({ id }) => `${id}-login`)]
  return Object.fromEntries(
    names.flatMap((name) =>
      (['login', 'ended'] as const).map((kind) => [
        `${kind}-${name}.json`,
        JSON.stringify({
          access_token: `${kind}-access-${name}-${now}`,
          refresh_token: `${kind}-refresh-${name}-${now}`,
          expires_at: Math.floor(now / 1000) + (kind === 'login' ? 86_400 : -60),
        }),
      ]),
    ),
  )
}
