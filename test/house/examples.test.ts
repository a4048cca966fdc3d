import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { liveKey } from '#config/live-key.ts'
import { filesBelow, textOf } from './sources.ts'

interface Entry {
  readonly stubs: { readonly access: string; readonly refresh: string }
  readonly scopes?: readonly string[]
}

function entryOf(file: string, id: string): Entry {
  const entry = (parse(textOf(`policies/examples/${file}`)) as { credentials: Record<string, Entry | undefined> }).credentials[id]
  if (!entry) throw new Error(`no ${id} in ${file}`)
  return entry
}

function stubFile(name: string): unknown {
  return JSON.parse(textOf(`policies/examples/stubs/${name}`))
}

describe('the stub file', () => {
  it('of Claude Code has the stubs and the scopes of its policy, and an end that never comes', () => {
    const { stubs, scopes } = entryOf('claude.yaml', 'claude')
    expect(stubFile('claude-credentials.json')).toEqual({
      claudeAiOauth: {
        accessToken: stubs.access,
        refreshToken: stubs.refresh,
        expiresAt: 9_999_999_999_999,
        scopes,
        subscriptionType: expect.any(String),
        rateLimitTier: expect.any(String),
      },
    })
  })

  it.each(filesBelow('policies/examples', '.yaml').filter((file) => !/(?:crew|\.test)\.yaml$/.test(file)))(
    'and %s beside all others: each of its credentials and rules names its agents',
    (file) => {
      const { credentials = {}, rules } = parse(textOf(file)) as {
        credentials?: Record<string, { agents?: unknown }>
        rules: readonly { id: string; agents?: unknown }[]
      }
      const open = [...Object.entries(credentials), ...rules.map((rule) => [rule.id, rule] as const)]
      expect(open.filter(([, { agents }]) => !Array.isArray(agents)).map(([id]) => id)).toEqual([])
    },
  )

  it('of Codex has the stubs of its policy, and tokens that end in 2100 and name its account', () => {
    const { stubs } = entryOf('codex.yaml', 'codex')
    const file = stubFile('codex-auth.json') as { tokens: Record<string, string> }
    expect(file).toMatchObject({
      auth_mode: 'chatgpt',
      OPENAI_API_KEY: null,
      tokens: { access_token: stubs.access, refresh_token: stubs.refresh },
    })
    for (const token of [file.tokens['access_token'], file.tokens['id_token']]) {
      const claims: unknown = JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString('utf8'))
      expect(claims).toMatchObject({
        exp: Date.UTC(2100, 0, 1) / 1000,
        'https://api.openai.com/auth': { chatgpt_account_id: file.tokens['account_id'] },
      })
    }
  })

  it('of Gemini CLI has the stubs and the scopes of its policy', () => {
    const { stubs, scopes = [] } = entryOf('gemini.yaml', 'gemini')
    expect(stubFile('gemini-oauth-creds.json')).toEqual({
      access_token: stubs.access,
      refresh_token: stubs.refresh,
      scope: scopes.join(' '),
      token_type: 'Bearer',
      expiry_date: Date.UTC(2100, 0, 1),
    })
  })

  it('of AWS has the stub of its policy, and a secret that says it is none', () => {
    const { credentials } = parse(textOf('policies/examples/aws.yaml')) as { credentials: { aws: { stub: string } } }
    const [, stub, secret] =
      /^\[default\]\naws_access_key_id = (.+)\naws_secret_access_key = (.+)\n$/.exec(
        textOf('policies/examples/stubs/aws-credentials'),
      ) ?? []
    expect(stub).toBe(credentials.aws.stub)
    expect(secret).toContain('stub')
  })

  it.each(filesBelow('policies/examples/stubs', '.json'))('%s has tokens that say what they are', (file) => {
    const tokens = [...textOf(file).matchAll(/"(?:access|refresh|id)_?token": "([^"]*)"/gi)].map(([, token = '']) => token)
    expect(tokens.length).toBeGreaterThan(1)
    for (const token of tokens) {
      expect(token).toContain('stub')
      expect(liveKey(token)).toBeUndefined()
    }
  })
})
