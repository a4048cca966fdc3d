import { generateKeyPairSync } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeCanary } from '../kit/canary.ts'
import { scenario } from '../kit/scenario.ts'
import type { Scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

/** Agents of the examples speak from 10.42.x.y; here the same addresses begin with 127.0. */
const exampleOf = (file: string): string => readFileSync(join('policies/examples', file), 'utf8').replaceAll('10.42.', '127.0.')

interface Step {
  readonly from: string
  readonly url: string
  readonly args?: readonly string[]
  /** What the agent reads. */
  readonly status: number
  /** The secret that the upstream was sent in the named header, or that nothing arrived there at all. */
  readonly sent?: readonly [header: string, secret: string] | 'nothing'
}

interface Example {
  readonly file: string
  readonly secrets?: readonly string[]
  /** Files of logins, written from the values made for this run. */
  readonly seeds?: Readonly<Record<string, (access: string, refresh: string) => object>>
  readonly steps: readonly Step[]
}

const stubOf = (name: string): string => readFileSync(join('policies/examples/stubs', name), 'utf8')
const codex = (JSON.parse(stubOf('codex-auth.json')) as { tokens: { access_token: string } }).tokens.access_token
const json = (body: object): readonly string[] => ['-H', 'Content-Type: application/json', '-d', JSON.stringify(body)]
const bearer = (stub: string): readonly string[] => ['-H', `Authorization: Bearer ${stub}`]
const later = (): number => Math.floor(Date.now() / 1000) + 3600

const examples: readonly Example[] = [
  {
    file: 'claude.yaml',
    secrets: ['anthropic-api-key'],
    seeds: { 'claude-oauth.json': (access_token, refresh_token) => ({ access_token, refresh_token, expires_at: later() }) },
    steps: [
      {
        from: '127.0.10.5',
        url: 'https://api.anthropic.com/v1/messages',
        args: [...bearer('access-token-stub'), ...json({})],
        status: 200,
        sent: ['authorization', 'access'],
      },
      ...[['-H', 'x-api-key: sk-ant-stub'], bearer('sk-ant-stub')].map((key, i) => ({
        from: '127.0.10.5',
        url: 'https://api.anthropic.com/v1/messages',
        args: [...key, ...json({})],
        status: 200,
        sent: [i === 0 ? 'x-api-key' : 'authorization', 'anthropic-api-key'] as const,
      })),
      {
        from: '127.0.10.5',
        url: 'https://platform.claude.com/v1/oauth/token',
        args: json({ grant_type: 'refresh_token', refresh_token: 'refresh-token-stub' }),
        status: 200,
        sent: 'nothing',
      },
      {
        from: '127.0.10.5',
        url: 'https://api.anthropic.com/api/oauth/claude_cli/create_api_key',
        args: [...bearer('access-token-stub'), ...json({})],
        status: 403,
        sent: 'nothing',
      },
    ],
  },
  {
    file: 'codex.yaml',
    seeds: {
      'codex-auth.json': (access_token, refresh_token) => ({
        auth_mode: 'chatgpt',
        OPENAI_API_KEY: null,
        tokens: { access_token, refresh_token, account_id: 'a' },
      }),
    },
    steps: [
      {
        from: '127.0.11.5',
        url: 'https://chatgpt.com/backend-api/codex/responses',
        args: [...bearer(codex), ...json({})],
        status: 200,
        sent: ['authorization', 'access'],
      },
      {
        from: '127.0.11.5',
        url: 'https://auth.openai.com/oauth/token',
        args: json({
          grant_type: 'refresh_token',
          refresh_token: 'codex-refresh-stub',
          client_id: 'app_EMoamEEZ73f0CkXaXp7hrann',
        }),
        status: 200,
        sent: 'nothing',
      },
    ],
  },
  {
    file: 'gemini.yaml',
    secrets: ['gemini-client-secret', 'gemini-api-key'],
    seeds: {
      'gemini-oauth-creds.json': (access_token, refresh_token) => ({
        access_token,
        refresh_token,
        token_type: 'Bearer',
        expiry_date: later() * 1000,
      }),
    },
    steps: [
      {
        from: '127.0.12.5',
        url: 'https://cloudcode-pa.googleapis.com/v1internal:generateContent',
        args: [...bearer('gemini-access-stub'), ...json({})],
        status: 200,
        sent: ['authorization', 'access'],
      },
      {
        from: '127.0.12.5',
        url: 'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent',
        args: ['-H', 'x-goog-api-key: gemini-key-stub', ...json({})],
        status: 200,
        sent: ['x-goog-api-key', 'gemini-api-key'],
      },
      {
        from: '127.0.12.5',
        url: 'https://oauth2.googleapis.com/token',
        args: ['-d', 'grant_type=refresh_token&refresh_token=gemini-refresh-stub'],
        status: 200,
        sent: 'nothing',
      },
    ],
  },
  {
    file: 'github.yaml',
    secrets: ['github-token'],
    steps: [
      {
        from: '127.0.7.5',
        url: 'https://api.github.com/user',
        args: ['-H', 'Authorization: token proxy-token-github'],
        status: 200,
        sent: ['authorization', 'github-token'],
      },
      {
        from: '127.0.7.5',
        url: 'https://github.com/example/project/info/refs?service=git-upload-pack',
        args: ['-u', 'x-access-token:proxy-token-github'],
        status: 200,
      },
      { from: '127.0.7.5', url: 'https://api.github.com/repos/o/r', args: ['-X', 'DELETE'], status: 403, sent: 'nothing' },
      {
        from: '127.0.7.5',
        url: 'https://github.com/example/project.git/info/lfs/objects/batch',
        args: ['-u', 'x-access-token:proxy-token-github', ...json({ operation: 'upload' })],
        status: 200,
      },
      {
        from: '127.0.7.5',
        url: 'https://github.com/other/project.git/info/lfs/objects/batch',
        args: ['-u', 'x-access-token:proxy-token-github', ...json({ operation: 'upload' })],
        status: 403,
        sent: 'nothing',
      },
      {
        from: '127.0.7.5',
        url: `https://github-cloud.s3.amazonaws.com/a?X-Amz-Credential=other&X-Amz-Signature=${'0'.repeat(64)}`,
        args: ['-X', 'PUT', '-d', 'large'],
        status: 200,
      },
      {
        from: '127.0.7.5',
        url: 'https://github.com/cli/cli/releases/download/v2.0.0/gh.tar.gz',
        args: bearer('proxy-token-github'),
        status: 200,
        sent: ['authorization', 'github-token'],
      },
      { from: '127.0.7.5', url: 'https://release-assets.githubusercontent.com/github-production?sig=1', status: 200 },
    ],
  },
  {
    file: 'copilot.yaml',
    secrets: ['copilot-token'],
    steps: [
      ...['https://api.github.com/graphql', 'https://api.individual.githubcopilot.com/chat/completions'].map((url) => ({
        from: '127.0.16.5',
        url,
        args: [...bearer('proxy-token-copilot'), ...json({})],
        status: 200,
        sent: ['authorization', 'copilot-token'] as const,
      })),
      {
        from: '127.0.16.5',
        url: 'https://api.github.com/copilot_internal/v2/token',
        args: bearer('proxy-token-copilot'),
        status: 403,
        sent: 'nothing',
      },
    ],
  },
  {
    file: 'github-app.yaml',
    steps: [
      {
        from: '127.0.13.5',
        url: 'https://api.github.com/repos/example/project',
        args: bearer('proxy-token-github-coder'),
        status: 200,
        sent: ['authorization', 'minted'],
      },
      {
        from: '127.0.13.200',
        url: 'https://api.github.com/repos/example/project',
        args: bearer('proxy-token-github-reader'),
        status: 200,
        sent: ['authorization', 'minted'],
      },
      {
        from: '127.0.13.200',
        url: 'https://api.github.com/repos/example/project',
        args: bearer('proxy-token-github-coder'),
        status: 403,
        sent: 'nothing',
      },
    ],
  },
  {
    file: 'npm.yaml',
    secrets: ['npm-token'],
    steps: [
      {
        from: '127.0.15.5',
        url: 'https://npm.pkg.github.com/@example%2ftool',
        args: bearer(/_authToken=(.+)/.exec(stubOf('npmrc'))?.[1] ?? ''),
        status: 200,
        sent: ['authorization', 'npm-token'],
      },
      {
        from: '127.0.15.5',
        url: 'https://npm.pkg.github.com/@example%2ftool',
        args: ['-X', 'PUT', ...bearer('npm-stub-token')],
        status: 403,
        sent: 'nothing',
      },
      { from: '127.0.15.5', url: 'https://pkg-npm.githubusercontent.com/tarball?sig=1', status: 200 },
    ],
  },
  {
    file: 'aws.yaml',
    secrets: ['aws-secret-access-key'],
    steps: [
      {
        from: '127.0.14.5',
        url: 'https://example-reports.s3.eu-central-1.amazonaws.com/day.csv',
        args: ['--aws-sigv4', 'aws:amz:eu-central-1:s3', '-u', 'AKIASTUBSTUBSTUBSTUB:any'],
        status: 200,
      },
      {
        from: '127.0.14.5',
        url: 'https://example-reports.s3.eu-central-1.amazonaws.com/day.csv',
        args: ['--aws-sigv4', 'aws:amz:us-east-1:s3', '-u', 'AKIASTUBSTUBSTUBSTUB:any'],
        status: 403,
        sent: 'nothing',
      },
    ],
  },
  {
    file: 'llm.yaml',
    secrets: ['anthropic-api-key', 'openai-api-key', 'mistral-api-key', 'openrouter-api-key'],
    steps: [
      {
        from: '127.0.8.5',
        url: 'https://api.anthropic.com/v1/messages',
        args: ['-H', 'x-api-key: sk-ant-stub', ...json({})],
        status: 200,
        sent: ['x-api-key', 'anthropic-api-key'],
      },
      {
        from: '127.0.8.5',
        url: 'https://api.openai.com/v1/responses',
        args: [...bearer('sk-stub-openai'), ...json({})],
        status: 200,
        sent: ['authorization', 'openai-api-key'],
      },
      {
        from: '127.0.8.5',
        url: 'https://api.mistral.ai/v1/chat/completions',
        args: [...bearer('mistral-stub'), ...json({ stream: true })],
        status: 200,
        sent: ['authorization', 'mistral-api-key'],
      },
      {
        from: '127.0.8.5',
        url: 'https://openrouter.ai/api/v1/chat/completions',
        args: [...bearer('sk-or-stub'), ...json({})],
        status: 200,
        sent: ['authorization', 'openrouter-api-key'],
      },
      { from: '127.0.8.5', url: 'https://api.openai.com/v1/files', args: bearer('sk-stub-openai'), status: 403, sent: 'nothing' },
    ],
  },
  {
    file: 'locked.yaml',
    steps: [
      { from: '127.0.9.10', url: 'https://mirror.example.com/npm/left-pad', status: 200 },
      { from: '127.0.9.10', url: 'https://mirror.example.com/gems/rails', status: 403, sent: 'nothing' },
      { from: '127.0.9.12', url: 'https://mirror.example.com/gems/rails', status: 200 },
    ],
  },
]

it('every example is driven here, or comment by comment in the contract', () => {
  const files = readdirSync('policies/examples').filter((name) => /^[\w-]+\.yaml$/.test(name))
  expect([...examples.map(({ file }) => file), 'crew.yaml'].toSorted()).toEqual(files.toSorted())
})

describe('all examples in one directory', () => {
  const values: Record<string, string> = {
    access: makeCanary().replaceAll('"', '-'),
    refresh: makeCanary(),
    minted: `ghs_${makeCanary().replaceAll(/[^\w]/g, 'x')}`,
  }
  let s: Scenario<{ all: Upstream }>

  beforeAll(async () => {
    const hosts = new Set(examples.flatMap(({ steps }) => steps.map(({ url }) => new URL(url).hostname)))
    const [first = '', ...others] = hosts
    s = await scenario({
      policy: 'version: 1\n',
      secrets: [...new Set(examples.flatMap(({ secrets = [] }) => secrets))],
      upstreams: {
        all: {
          hosts: [first, ...others],
          start: ({ certificate }): Promise<Upstream> =>
            startUpstream({
              certificate,
              protocol: 'h1',
              handler({ request, response }) {
                request.resume()
                const minting = request.url?.startsWith('/app/installations/') ?? false
                response.writeHead(minting ? 201 : 200, { 'content-type': 'application/json' })
                response.end(
                  minting
                    ? JSON.stringify({ token: values['minted'], expires_at: new Date(Date.now() + 3_600_000).toISOString() })
                    : '{}',
                )
                return true
              },
            }),
        },
      },
    })
    Object.assign(values, s.files.secrets)
    const put = (name: string, text: string) => writeFile(join(s.files.policies, name), text)
    for (const { seeds = {} } of examples)
      for (const [name, seed] of Object.entries(seeds))
        await put(`secrets/${name}`, JSON.stringify(seed(values['access'] ?? '', values['refresh'] ?? '')))
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    })
    await put('secrets/github-app.pem', privateKey)
    for (const { file } of examples) await put(file, exampleOf(file))
    await s.app.reload('signal')
  })
  afterAll(() => s[Symbol.asyncDispose]())

  it.each(examples.map((example) => [example.file, example] as const))('%s does what it says', async (_file, { steps }) => {
    for (const { from, url, args = [], status, sent } of steps) {
      const before = s.upstreams.all.requests.length
      const reply = await s.curl('connect', url, ['--interface', from, ...args])
      expect(reply.status, `${url}: ${reply.body.toString()}${reply.stderr}`).toBe(status)
      const arrived = s.upstreams.all.requests.slice(before)
      if (sent === 'nothing') expect(arrived).toHaveLength(0)
      else if (sent) {
        const { rawHeaders } = arrived.at(-1) ?? { rawHeaders: [] }
        const value = rawHeaders[rawHeaders.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === sent[0]) + 1]
        expect(value?.replace(/^(?:bearer|token) /i, '')).toBe(values[sent[1]])
      } else expect(arrived.length).toBeGreaterThan(0)
    }
  })

  it('show no agent a real value', async () => {
    expect(await s.canaryFoundIn()).toEqual([])
  })
})
