/** Coding agents, on the stub files and keys of the examples. */
import { stubFile } from './policies.ts'
import type { Client, Command, Installed, State } from './types.ts'

const prompt = 'say hello and nothing else'

function agent(
  some: Pick<Client, 'id' | 'host' | 'path'> & {
    readonly needs: string
    readonly command: (state: State, installed: Installed) => Command
    readonly without?: Client['without']
    readonly misses?: NonNullable<Client['misses']>
  },
): Client {
  const { needs, without = {}, ...rest } = some
  return {
    family: 'agents',
    version: ({ versions }) => versions[needs],
    missing: ({ versions }) => (versions[needs] ? undefined : `${needs.split(':')[1]} was not installed`),
    served: /word word word/,
    shows: 'body',
    without,
    ...rest,
  }
}

/** A stub file whose token has run out, so that its client refreshes. */
function runOut(name: string, state: State, change: (document: never) => void): string {
  const document = JSON.parse(stubFile(name)) as never
  if (state === 'refresh') change(document)
  return JSON.stringify(document, null, 2)
}

const past = Date.now() - 3_600_000

/** A JSON Web Token like the stub, whose time is over. */
function spent(token: string): string {
  const [head = '', claims = '', signature = ''] = token.split('.')
  const changed = { ...(JSON.parse(Buffer.from(claims, 'base64url').toString()) as object), exp: Math.floor(past / 1000) }
  return [head, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join('.')
}

const asksWhere = 'asks ten times where its workspace is, whatever it is answered'
const keyOnly = { refresh: 'has a key, and no login', ended: 'has a key, and no login' } as const

export const agentClients: readonly Client[] = [
  agent({
    id: 'Claude Code',
    host: 'api.anthropic.com',
    // Beside its question it asks for settings and the like, each once.
    path: /^\/v1\/messages/,
    needs: 'npm:@anthropic-ai/claude-code',
    command: (state, { bin }) => ({
      program: bin('claude'),
      args: ['-p', prompt],
      env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1' },
      files: {
        '.claude/.credentials.json': runOut(
          'claude-credentials.json',
          state,
          (document: { claudeAiOauth: { expiresAt: number } }) => {
            document.claudeAiOauth.expiresAt = past
          },
        ),
      },
    }),
  }),
  agent({
    id: 'Codex',
    host: 'chatgpt.com',
    misses: { denied: asksWhere, ended: asksWhere },
    needs: 'npm:@openai/codex',
    command: (state, { bin }) => ({
      program: bin('codex'),
      args: ['exec', '--skip-git-repo-check', prompt],
      files: {
        '.codex/auth.json': runOut(
          'codex-auth.json',
          state,
          (document: { last_refresh: string; tokens: { access_token: string; id_token: string } }) => {
            document.last_refresh = new Date(past - 30 * 86_400_000).toISOString()
            document.tokens.access_token = spent(document.tokens.access_token)
          },
        ),
      },
    }),
  }),
  agent({
    id: 'Gemini CLI',
    host: 'generativelanguage.googleapis.com',
    needs: 'npm:@google/gemini-cli',
    without: { refresh: 'see the row of its login', ended: 'see the row of its login' },
    command: (_state, { bin }) => ({
      program: bin('gemini'),
      args: ['--skip-trust', '-m', 'gemini-2.5-pro', '-p', prompt],
      env: { GEMINI_API_KEY: 'gemini-key-stub', GEMINI_CLI_TRUST_WORKSPACE: 'true' },
      files: { '.gemini/settings.json': geminiSettings('gemini-api-key') },
    }),
  }),
  agent({
    id: 'Gemini CLI (login)',
    misses: { ended: 'takes each refusal of its first question, whose token it is, for no login at all' },
    host: 'cloudcode-pa.googleapis.com',
    needs: 'npm:@google/gemini-cli',
    command: (state, { bin }) => ({
      program: bin('gemini'),
      args: ['--skip-trust', '-m', 'gemini-2.5-pro', '-p', prompt],
      env: { GEMINI_CLI_TRUST_WORKSPACE: 'true' },
      files: {
        '.gemini/settings.json': geminiSettings('oauth-personal'),
        '.gemini/oauth_creds.json': runOut('gemini-oauth-creds.json', state, (document: { expiry_date: number }) => {
          document.expiry_date = past
        }),
      },
    }),
  }),
  agent({
    id: 'OpenCode',
    host: 'api.anthropic.com',
    needs: 'npm:opencode-ai',
    without: keyOnly,
    command: (_state, { bin }) => ({
      program: bin('opencode'),
      args: ['run', '--model', 'anthropic/claude-sonnet-5', prompt],
      env: { ANTHROPIC_API_KEY: 'sk-ant-stub', OPENCODE_DISABLE_AUTOUPDATE: '1' },
    }),
  }),
  agent({
    id: 'Qwen Code',
    host: 'api.openai.com',
    needs: 'npm:@qwen-code/qwen-code',
    without: keyOnly,
    command: (_state, { bin }) => ({
      program: bin('qwen'),
      args: ['-p', prompt],
      env: { OPENAI_API_KEY: 'sk-stub-openai', OPENAI_BASE_URL: 'https://api.openai.com/v1', OPENAI_MODEL: 'gpt-5' },
      files: { '.qwen/settings.json': JSON.stringify({ security: { auth: { selectedType: 'openai' } } }) },
    }),
  }),
  agent({
    id: 'Cline',
    host: 'api.anthropic.com',
    needs: 'npm:cline',
    without: keyOnly,
    command: (_state, { bin }) => ({
      program: 'sh',
      args: [
        '-c',
        '"$0" auth -p anthropic -k sk-ant-stub -m claude-sonnet-5 >/dev/null 2>&1; exec "$0" --plan --timeout 30 "$1"',
        bin('cline'),
        prompt,
      ],
    }),
  }),
]

function geminiSettings(selectedType: string): string {
  return JSON.stringify({
    security: { auth: { selectedType } },
    general: { disableAutoUpdate: true },
    telemetry: { enabled: false },
  })
}
