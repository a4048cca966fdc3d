import { z } from 'zod'
import { ProxyError } from '#base/errors.ts'
import { secretRefField } from '#base/fields.ts'
import { parseHost } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import { signAssertion } from '../oauth/assertion.ts'
import type { ValidityWindow } from '../oauth/assertion.ts'
import { bearerPlacer } from './bearer.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'
import type { GrantLease, LeaseAnswer, LeaseInput, TokenCall, TokenReply } from '../lease.ts'
import { asObject, objectIn, pairOf, tokenIn } from '../oauth/token-pair.ts'
import { later } from '../oauth/token-reply.ts'

const schema = z.strictObject({
  kind: z.literal('github-app'),
  stub: stubField,
  appId: z.int().positive().meta({ description: 'Number of the App' }),
  installationId: z.int().positive().meta({ description: 'Number of its installation' }),
  privateKey: secretRefField.meta({ description: 'The private key of the App, PEM' }),
  apiHost: z
    .string()
    .default('api.github.com')
    .transform((text, context) => {
      const [, name = '', prefix = ''] = /^([^/]+)((?:\/[\w.-]+)*)$/.exec(text) ?? []
      const host = parseHost(name)
      if (host) return { host, prefix }
      context.addIssue({ code: 'custom', message: 'write the host of the API: "api.github.com", or "github.example.com/api/v3"' })
      return z.NEVER
    })
    .meta({ description: 'Host of the API, and the path it is below: github.example.com/api/v3 for Enterprise Server' }),
  repositories: z
    .array(z.string().regex(/^[A-Za-z0-9._-]+$/, { error: 'name repositories without their owner' }))
    .min(1)
    .max(500, { error: 'GitHub narrows a token to 500 repositories at most' })
    .optional()
    .meta({ description: 'Tokens are narrowed to these repositories of the installation; default: all of them' }),
  permissions: z
    .record(z.string().regex(/^[a-z_]+$/), z.enum(['read', 'write', 'admin']))
    .optional()
    .meta({ description: 'Tokens are narrowed to these permissions; default: those of the App' }),
  ...commonFields,
})

type Config = z.output<typeof schema>

/** Installation tokens of a GitHub App, narrowed and good for an hour. They are minted, so none is worth keeping. */
export const githubApp = credentialKind({
  kind: 'github-app',
  whoami: 'github-app',
  schema,
  stubs: (config) => [config.stub],
  lease: leaseOf,
  placer: (config) => bearerPlacer(config.stub),
})

/** GitHub takes ten minutes at most, and wants `iat` in its own past. */
const window: ValidityWindow = { before: 60, after: 540 }

function leaseOf(config: Config): GrantLease {
  const { host, prefix } = config.apiHost
  const path = `${prefix}/app/installations/${config.installationId}/access_tokens`
  return {
    rotating: false,
    endpoint: { host, port: 443, path },
    refs: { privateKey: config.privateKey },
    seed: undefined,
    scopes: config.permissions && permissionsOf(config.permissions),
    readSeed() {
      throw new ProxyError('credential_unavailable', 'a GitHub App starts from its key and not from a grant')
    },
    ask: (given) => askForToken(config, path, given),
    read: readReply,
    stubs: { access: config.stub },
    answers: [],
    answer: () => ({ kind: 'refused', reason: 'agents mint no tokens of a GitHub App' }),
    disguise: () => '{}',
  }
}

function askForToken({ appId, repositories, permissions }: Config, path: string, given: LeaseInput): TokenCall {
  const jwt = signAssertion({ alg: 'RS256' }, { iss: String(appId) }, window, given)
  return {
    method: 'POST',
    path,
    headers: [
      'user-agent',
      'iron-proxy',
      'accept',
      'application/vnd.github+json',
      'content-type',
      'application/json',
      'x-github-api-version',
      '2022-11-28',
      'authorization',
      `Bearer ${jwt}`,
    ],
    body: new Secret('token call', JSON.stringify({ repositories, permissions })),
  }
}

const refusals: Readonly<Record<number, string>> = {
  403: 'GitHub answered 403: the installation is suspended, or the App may not do this',
  404: 'GitHub answered 404: the App has no such installation',
  422: 'GitHub answered 422: the installation lacks one of the repositories or permissions',
}

function readReply(reply: TokenReply, { now }: LeaseInput): LeaseAnswer {
  const { status, serverTime } = reply
  const body = objectIn(reply.body.expose())
  // 201 by GitHub's documentation; some Enterprise proxies make it 200.
  if (status === 200 || status === 201) {
    // No limit on the length: since 2026 these are of some 520 characters, with dots.
    const token = tokenIn(body?.['token'])
    if (token === undefined) return later(reply, `GitHub answered ${status} without a token`)
    return {
      kind: 'granted',
      pair: pairOf(token, undefined, expiryOf(body?.['expires_at']), permissionsOf(body?.['permissions'])),
    }
  }
  if (status === 401) {
    const ahead = serverTime === undefined ? 0 : Math.round((now - serverTime) / 1000)
    const clock =
      Math.abs(ahead) > window.before
        ? `: our clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead' : 'behind'}`
        : ': check appId and privateKey'
    return later(reply, `GitHub answered 401${clock}`)
  }
  const refusal = isLimit(reply, body?.['message']) ? undefined : refusals[status]
  return refusal === undefined ? later(reply, `GitHub answered ${status}`) : { kind: 'refused', reason: refusal }
}

/** Limits on calls come as 403 too, with a time to wait or in words. */
function isLimit({ status, retryAfter }: TokenReply, message: unknown): boolean {
  return status === 403 && (retryAfter !== undefined || (typeof message === 'string' && /rate limit/i.test(message)))
}

function expiryOf(value: unknown): number | undefined {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}

function permissionsOf(value: unknown): readonly string[] | undefined {
  const granted = asObject(value)
  return granted && Object.entries(granted).map(([name, level]) => `${name}:${String(level)}`)
}
