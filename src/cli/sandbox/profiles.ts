/** What the sandbox knows of programs: which example is theirs, where their logins are, and which stubs they read. */
import { join } from 'node:path'
import { homeInside } from '#sandbox/view.ts'

/** A login or a key: the file of the policy that holds it, and where a user has it already. */
export interface Login {
  readonly credential: string
  /** Below the directory of policies. */
  readonly secret: string
  /** A file below the user's home. Moved and not copied: a rotating login that two hold ends for both. */
  readonly homeFile?: string
  /** A variable that holds a key. */
  readonly variable?: string
}

export interface Profile {
  /** Of `policies/examples`. */
  readonly example: string
  /** Of that example. */
  readonly agent: string
  /** An address of loopback that is this agent's alone. */
  readonly address: string
  /** The first that has a value is used. */
  readonly logins: readonly Login[]
  /** Rules whose replies are counted, and how. */
  readonly meters: Readonly<Record<string, string>>
  /** Changes the policy where the login says something that its stubs must say too. */
  readonly adopt?: (login: string, policy: string) => string
  /** What the program finds in its home and its environment, for the login in use and its stub. */
  readonly stubs: (login: Login, stub: string, work: string, example: (name: string) => string) => Stubs
}

export interface Stubs {
  readonly files: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string>>
}

const claude: Profile = {
  example: 'claude.yaml',
  agent: 'claude',
  address: '127.64.0.10',
  logins: [
    { credential: 'claude', secret: 'secrets/claude-oauth.json', homeFile: '.claude/.credentials.json' },
    { credential: 'claude-key', secret: 'secrets/anthropic-api-key', variable: 'ANTHROPIC_API_KEY' },
  ],
  meters: { claude: 'anthropic' },
  stubs({ credential }, stub, work, example) {
    // Else it asks whether this key may be used, and whether this folder is trusted: it sees no other.
    const settings = {
      hasCompletedOnboarding: true,
      customApiKeyResponses: { approved: [stub.slice(-20)], rejected: [] },
      projects: { [work]: { hasTrustDialogAccepted: true } },
    }
    const files = { '.claude.json': JSON.stringify(settings) }
    if (credential === 'claude-key') return { files, env: { ANTHROPIC_API_KEY: stub } }
    const login = JSON.parse(example('claude-credentials.json')) as { claudeAiOauth: object }
    const text = JSON.stringify({ claudeAiOauth: { ...login.claudeAiOauth, accessToken: stub } })
    return { files: { ...files, '.claude/.credentials.json': text }, env: {} }
  },
}

const codex: Profile = {
  example: 'codex.yaml',
  agent: 'codex',
  address: '127.64.0.11',
  logins: [{ credential: 'codex', secret: 'secrets/codex-auth.json', homeFile: '.codex/auth.json' }],
  meters: { codex: 'codex' },
  adopt(login, policy) {
    const { tokens } = JSON.parse(login) as { readonly tokens?: { readonly account_id?: unknown } }
    const account = tokens?.account_id
    const stub = /^ +access: (\S+)$/m.exec(policy)?.[1]
    if (typeof account !== 'string' || stub === undefined) return policy
    return policy.replace(stub, withAccount(stub, account))
  },
  stubs(_login, stub, _work, example) {
    const file = JSON.parse(example('codex-auth.json')) as { tokens: Record<'id_token', string> }
    const account = accountOf(stub)
    const id_token = withAccount(file.tokens.id_token, account)
    const text = JSON.stringify({ ...file, tokens: { ...file.tokens, id_token, access_token: stub, account_id: account } })
    return { files: { '.codex/auth.json': text }, env: { CODEX_HOME: join(homeInside, '.codex') } }
  },
}

const noAccount = '00000000-0000-0000-0000-000000000000'

/** Codex reads its account out of its tokens, and sends it beside them: it is no secret, and must be that of the login. */
function withAccount(token: string, account: string): string {
  const [header, claims = '', rest] = token.split('.')
  const told = Buffer.from(claims, 'base64url').toString('utf8').replaceAll(noAccount, account)
  return [header, Buffer.from(told).toString('base64url'), rest].join('.')
}

function accountOf(token: string): string {
  const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')
  return /"chatgpt_account_id":"([^"]*)"/.exec(claims)?.[1] ?? noAccount
}

const gemini: Profile = {
  example: 'gemini.yaml',
  agent: 'gemini',
  address: '127.64.0.12',
  logins: [{ credential: 'gemini-key', secret: 'secrets/gemini-api-key', variable: 'GEMINI_API_KEY' }],
  meters: { 'gemini-api': 'gemini' },
  stubs: (_login, stub) => ({ files: {}, env: { GEMINI_API_KEY: stub } }),
}

const opencode: Profile = {
  example: 'llm.yaml',
  agent: 'writer',
  address: '127.64.0.13',
  logins: [
    { credential: 'anthropic', secret: 'secrets/anthropic-api-key', variable: 'ANTHROPIC_API_KEY' },
    { credential: 'openai', secret: 'secrets/openai-api-key', variable: 'OPENAI_API_KEY' },
    { credential: 'openrouter', secret: 'secrets/openrouter-api-key', variable: 'OPENROUTER_API_KEY' },
  ],
  meters: {},
  stubs: ({ variable = '' }, stub) => ({ files: {}, env: { [variable]: stub } }),
}

/** By the name of the program. */
export const profiles: Readonly<Record<string, Profile>> = { claude, codex, gemini, opencode }

/** The agent of every other program: it may reach what rules give it, and at first that is nothing. */
export const anyProgram = {
  agent: 'sandbox',
  address: '127.64.0.1',
  policy: `# Programs that \`iron-proxy sandbox\` has no example for. Each refusal at the end of a sandbox names the command that allows it.
version: 1

agents:
  sandbox:
    from: [{cidr: 127.64.0.1/32}]

rules: []
`,
} as const
