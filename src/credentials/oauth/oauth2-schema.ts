/** What a policy may say about an OAuth grant, and which of it belongs together. */
import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { commonFields, stubField } from '../swap/fields.ts'
import { loginField } from './login-field.ts'
import { answeredEndpointField, tokenEndpointField } from './token-endpoint.ts'

const text = z.string().min(1)

const endpoints = z.array(answeredEndpointField)

/** A list of endpoints, or the same with what becomes of calls that are no refresh of the stub. */
const answersField = z
  .union([
    endpoints,
    z.strictObject({
      endpoints: endpoints.optional().meta({ description: 'These endpoints, host and path; default: tokenEndpoint' }),
      other: z.enum(['deny', 'capture']).default('deny').meta({
        description: 'capture: a login that an agent makes there is made in its place; the proxy keeps what is granted',
      }),
    }),
  ])
  .optional()
  .transform((answers) => (Array.isArray(answers) ? { endpoints: answers, other: 'deny' as const } : answers))
  .meta({
    description: 'Token endpoints, host and path, whose calls by agents the proxy answers itself; default: tokenEndpoint',
  })

export const oauth2Schema = z
  .strictObject({
    kind: z.literal('oauth2'),
    stubs: z
      .strictObject({ access: stubField, refresh: stubField.optional() })
      .refine((stubs) => stubs.access !== stubs.refresh, { error: 'give the access and the refresh token different stubs' })
      .meta({ description: 'What agents hold in place of the two tokens' }),
    grantType: z
      .enum(['refresh_token', 'client_credentials', 'jwt-bearer', 'token-exchange'])
      .default('refresh_token')
      .meta({ description: 'How a token is had: by a login that is refreshed, or by what the proxy itself can show' }),
    grant: secretRefField.optional().meta({
      description:
        'Seed: JSON with access_token, refresh_token, expires_at (seconds since the epoch), or a file of Claude Code, Codex, Gemini CLI',
    }),
    tokenEndpoint: tokenEndpointField.meta({ description: 'URL where the proxy asks for tokens' }),
    clientId: text.optional().meta({ description: 'Who the proxy is at the token endpoint' }),
    clientSecret: secretRefField.optional(),
    clientAuth: z
      .enum(['none', 'basic', 'body', 'private_key_jwt'])
      .optional()
      .meta({ description: 'How the client shows who it is; default: basic with a clientSecret, none without' }),
    privateKey: secretRefField.optional().meta({ description: 'PEM key that signs for private_key_jwt and jwt-bearer' }),
    keyId: text.optional().meta({ description: 'Name of that key at the token endpoint (kid)' }),
    algorithm: z.enum(['RS256', 'ES256']).default('RS256').meta({ description: 'How that key signs' }),
    issuer: text.optional().meta({ description: 'jwt-bearer: who vouches (iss); default: clientId' }),
    subject: text.optional().meta({ description: 'jwt-bearer: for whom (sub)' }),
    audience: text
      .optional()
      .meta({ description: 'jwt-bearer: to whom (aud), default the token endpoint; token-exchange: for which service' }),
    subjectToken: secretRefField.optional().meta({ description: 'token-exchange: the token that is exchanged' }),
    subjectTokenType: text
      .optional()
      .meta({ description: 'token-exchange: its type, such as urn:ietf:params:oauth:token-type:jwt' }),
    encoding: z
      .enum(['form', 'json'])
      .optional()
      .meta({ description: 'How calls are written; default: json for Anthropic and OpenAI, form elsewhere' }),
    answers: answersField,
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, { error: 'a scope has no space (RFC 6749 section 3.3)' }))
      .optional()
      .meta({ description: 'Scopes of the login, which agents are told too' }),
    sendScope: z
      .boolean()
      .optional()
      .meta({ description: 'Whether `scopes` are sent; default: not with a refresh, where some endpoints refuse them' }),
    login: loginField,
    ...commonFields,
  })
  .check(({ value, issues }) => {
    const lack = (path: readonly string[], message: string) =>
      issues.push({ code: 'custom', path: [...path], message, input: value })
    const { grantType, clientAuth, clientId, clientSecret, privateKey } = value
    const refreshes = grantType === 'refresh_token'
    const signs = grantType === 'jwt-bearer' || clientAuth === 'private_key_jwt'
    if (refreshes && value.stubs.refresh === undefined)
      lack(['stubs', 'refresh'], 'this is missing; agents hold a stub for the refresh token too')
    if (!refreshes && value.grant) lack(['grant'], `${grantType} starts from nothing; remove the seed`)
    if (clientId === undefined && (refreshes || grantType === 'client_credentials' || clientAuth !== undefined || clientSecret))
      lack(['clientId'], 'this is missing; write the id of the client')
    if ((clientAuth === 'basic' || clientAuth === 'body') && !clientSecret)
      lack(['clientSecret'], `clientAuth: ${clientAuth} needs the secret of the client`)
    if (clientSecret && (clientAuth === 'none' || clientAuth === 'private_key_jwt'))
      lack(['clientSecret'], `clientAuth: ${clientAuth} sends no secret; remove one of the two`)
    if (signs && !privateKey)
      lack(['privateKey'], `${grantType === 'jwt-bearer' ? grantType : clientAuth} needs a key to sign with`)
    if (!signs && privateKey)
      lack(['privateKey'], 'nothing is signed here; write grantType: jwt-bearer or clientAuth: private_key_jwt')
    // RFC 6749 section 4.4: for confidential clients only.
    if (grantType === 'client_credentials' && !clientSecret && clientAuth !== 'private_key_jwt')
      lack(['clientSecret'], 'client_credentials needs a clientSecret, or clientAuth: private_key_jwt')
    if (grantType === 'jwt-bearer' && value.issuer === undefined && clientId === undefined)
      lack(['issuer'], 'jwt-bearer needs an issuer or a clientId')
    if (grantType === 'token-exchange') {
      if (!value.subjectToken) lack(['subjectToken'], 'token-exchange needs the token that is exchanged')
      if (value.subjectTokenType === undefined)
        lack(['subjectTokenType'], 'write its type, such as urn:ietf:params:oauth:token-type:jwt (RFC 8693 section 3)')
    } else if (value.subjectToken) lack(['subjectToken'], 'only token-exchange takes this')
  })

export type OAuth2Config = z.output<typeof oauth2Schema>
