import type { SecretRef } from '#base/secret.ts'
import { bearerPlacer } from './bearer.ts'
import { credentialKind } from '../swap/fields.ts'
import type { GrantLease } from '../lease.ts'
import { askForToken } from '../oauth/oauth2-call.ts'
import { loginOf } from '../oauth/oauth2-login.ts'
import { oauth2Schema } from '../oauth/oauth2-schema.ts'
import type { OAuth2Config } from '../oauth/oauth2-schema.ts'
import { answerTokens, disguiseLogin } from '../oauth/token-answer.ts'
import { readTokenReply } from '../oauth/token-reply.ts'
import { readSeed } from '../oauth/token-seed.ts'

/** An OAuth grant that the proxy owns: agents hold stubs, and refresh nothing but them. */
export const oauth2 = credentialKind({
  kind: 'oauth2',
  schema: oauth2Schema,
  stubs: ({ stubs }) => (stubs.refresh === undefined ? [stubs.access] : [stubs.access, stubs.refresh]),
  // The refresh stub buys nothing but the access stub, so that it may stay what it is.
  withStub: (config, access) => ({ ...config, stubs: { ...config.stubs, access } }),
  lease: leaseOf,
  placer: (config) => bearerPlacer(config.stubs.access),
})

function leaseOf(config: OAuth2Config): GrantLease {
  const { tokenEndpoint, stubs, scopes, clientId } = config
  const answering = { stubs, scopes, clientId, other: config.answers?.other ?? 'deny' } as const
  return {
    // Endpoints that hand out single-use refresh tokens do not say so: each is taken for one.
    rotating: config.grantType === 'refresh_token',
    endpoint: tokenEndpoint,
    refs: refsOf(config),
    seed: config.grant,
    scopes: config.scopes,
    readSeed,
    ask: (given) => askForToken(config, given),
    read: readTokenReply,
    stubs: stubs.refresh === undefined ? { access: stubs.access } : { access: stubs.access, refresh: stubs.refresh },
    answers: config.answers?.endpoints ?? [{ ...tokenEndpoint, path: tokenEndpoint.path.replace(/\?.*$/, '') }],
    login: loginOf(config),
    answer: (request) => answerTokens(request, answering),
    disguise: (reply) => disguiseLogin(reply, answering),
  }
}

function refsOf({ clientSecret, privateKey, subjectToken }: OAuth2Config): Readonly<Record<string, SecretRef>> {
  return { ...(clientSecret && { clientSecret }), ...(privateKey && { privateKey }), ...(subjectToken && { subjectToken }) }
}
