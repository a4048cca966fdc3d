/** The call that gets a token: what each grant shows, and how the client says who it is. */
import { ProxyError } from '#base/errors.ts'
import { needSecret, signAssertion } from './assertion.ts'
import type { ValidityWindow } from './assertion.ts'
import type { LeaseInput, TokenCall } from '../lease.ts'
import type { OAuth2Config } from './oauth2-schema.ts'
import { basicClient, endpointUrl, tokenCall } from './token-endpoint.ts'
import type { Encoding } from './token-endpoint.ts'

type Parameters = readonly (readonly [string, string])[]

// These take JSON, and some of them nothing else; RFC 6749 knows only forms.
const jsonHosts: ReadonlySet<string> = new Set([
  'platform.claude.com',
  'console.anthropic.com',
  'api.anthropic.com',
  'auth.openai.com',
])

/** Five minutes in all: longer ones are refused by some, and it is used at once. */
const window: ValidityWindow = { before: 60, after: 240 }

/** Throws `credential_unavailable` when a token, a secret or a key is missing. */
export function askForToken(config: OAuth2Config, given: LeaseInput): TokenCall {
  const { tokenEndpoint, scopes = [] } = config
  const sendScope = config.sendScope ?? config.grantType !== 'refresh_token'
  const scope: Parameters = sendScope && scopes.length > 0 ? [['scope', scopes.join(' ')]] : []
  const client = clientOf(config, given)
  return tokenCall(
    tokenEndpoint.path,
    [...grantOf(config, given), ...client.parameters, ...scope],
    encodingOf(config),
    client.headers,
  )
}

/** How calls to this endpoint are written. */
export function encodingOf({ encoding, tokenEndpoint }: OAuth2Config): Encoding {
  return encoding ?? (jsonHosts.has(tokenEndpoint.host) ? 'json' : 'form')
}

function grantOf(config: OAuth2Config, given: LeaseInput): Parameters {
  const { grantType, audience } = config
  switch (grantType) {
    case 'refresh_token': {
      const refresh = given.pair?.refresh
      if (!refresh) throw new ProxyError('credential_unavailable', 'there is no refresh token')
      return [
        ['grant_type', 'refresh_token'],
        ['refresh_token', refresh.expose()],
      ]
    }
    case 'client_credentials':
      return [['grant_type', 'client_credentials'], ...(audience === undefined ? [] : [['audience', audience] as const])]
    case 'jwt-bearer':
      return [
        ['grant_type', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
        ['assertion', signAssertion(keyHeader(config), bearerClaims(config, given), window, given)],
      ]
    case 'token-exchange':
      return [
        ['grant_type', 'urn:ietf:params:oauth:grant-type:token-exchange'],
        ['subject_token', needSecret(given.secrets, 'subjectToken').expose()],
        ['subject_token_type', config.subjectTokenType ?? ''],
        ...(audience === undefined ? [] : [['audience', audience] as const]),
      ]
    default:
      return grantType satisfies never
  }
}

/** RFC 7523 section 3. Google reads the scope here and not from the form. */
function bearerClaims(config: OAuth2Config, { tools }: LeaseInput): Readonly<Record<string, unknown>> {
  const { issuer = config.clientId, subject, audience = endpointUrl(config.tokenEndpoint), scopes, sendScope = true } = config
  return {
    iss: issuer,
    ...(subject === undefined ? {} : { sub: subject }),
    aud: audience,
    ...(scopes && sendScope ? { scope: scopes.join(' ') } : {}),
    jti: tools.nonce(),
  }
}

interface Client {
  readonly parameters: Parameters
  readonly headers: readonly string[]
}

function clientOf(config: OAuth2Config, given: LeaseInput): Client {
  const { clientId, clientAuth = config.clientSecret ? 'basic' : 'none' } = config
  if (clientId === undefined) return { parameters: [], headers: [] }
  const named = ['client_id', clientId] as const
  switch (clientAuth) {
    case 'none':
      return { parameters: [named], headers: [] }
    case 'basic':
      return {
        parameters: [],
        headers: ['authorization', basicClient(clientId, needSecret(given.secrets, 'clientSecret').expose())],
      }
    case 'body':
      return { parameters: [named, ['client_secret', needSecret(given.secrets, 'clientSecret').expose()]], headers: [] }
    case 'private_key_jwt': {
      const claims = { iss: clientId, sub: clientId, aud: endpointUrl(config.tokenEndpoint), jti: given.tools.nonce() }
      return {
        parameters: [
          named,
          ['client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
          ['client_assertion', signAssertion(keyHeader(config), claims, window, given)],
        ],
        headers: [],
      }
    }
    default:
      return clientAuth satisfies never
  }
}

function keyHeader({ algorithm, keyId }: OAuth2Config): { readonly alg: 'RS256' | 'ES256'; readonly kid?: string } {
  return keyId === undefined ? { alg: algorithm } : { alg: algorithm, kid: keyId }
}
