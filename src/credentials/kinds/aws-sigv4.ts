import { z } from 'zod'
import { ProxyError } from '#base/errors.ts'
import { secretRefField } from '#base/fields.ts'
import { chunkSigning, resignChunks } from '../aws/chunks.ts'
import { readClaim, readPresignedClaim } from '../aws/claim.ts'
import type { AwsClaim } from '../aws/claim.ts'
import { presignedQuery, readPresigned } from '../aws/presigned.ts'
import type { Presigned } from '../aws/presigned.ts'
import { awsSigner, type SigningKey } from '../aws/signer.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'
import type { Placer, Signed, SignTools, Unsigned } from '../types.ts'

const keyIdForm = /^\w{16,128}$/
const scopeField = z.string().regex(/^[a-z0-9-]+$/, { error: 'write it as it stands in a signature: "us-east-1", "s3"' })

const fields = z.strictObject({
  kind: z.literal('aws-sigv4'),
  stub: stubField.meta({ description: 'The access key id that agents sign with; the secret beside it may be anything' }),
  accessKeyId: z
    .string()
    .regex(keyIdForm, { error: 'an access key id is 16 to 128 letters and digits' })
    .optional()
    .meta({ description: 'The real access key id; it is no secret' }),
  secret: secretRefField.optional().meta({ description: 'The secret access key' }),
  session: secretRefField.optional().meta({
    description:
      'In place of both: JSON with AccessKeyId, SecretAccessKey and SessionToken, as `aws configure export-credentials` prints it',
  }),
  regions: z.array(scopeField).min(1).meta({ description: 'Regions agents may sign for; global services are us-east-1' }),
  services: z
    .array(scopeField)
    .min(1)
    .meta({ description: 'Services agents may sign for, by their signing names: s3, bedrock, sts, dynamodb' }),
  ...commonFields,
})

const schema = fields.check(({ value, issues }) => {
  const say = (key: string, message: string) => issues.push({ code: 'custom', path: [key], message, input: value })
  const { accessKeyId, secret, session } = value
  if (session?.jsonKey !== undefined) say('session', 'its members are known; leave jsonKey out')
  if (session && (accessKeyId !== undefined || secret)) say('session', 'it holds key id and secret too; remove those, or this')
  if (!session && accessKeyId === undefined)
    say('accessKeyId', 'this is missing; write the real access key id, or name a session')
  if (!session && !secret) say('secret', 'this is missing; name where the secret access key stands')
})

type Config = z.output<typeof schema>

/**
 * Requests signed with AWS Signature Version 4, in the Authorization header or in a presigned URL. The agent signs with the stub and
 * any secret; its signature is thrown away, and the request is signed anew as it leaves. The real secret never travels, so nothing of it is placed anywhere.
 */
export const awsSigv4 = credentialKind({
  kind: 'aws-sigv4',
  schema,
  stubs: (config) => [config.stub],
  secret: ({ secret, session }) => (session ? { ...session, jsonKey: 'SecretAccessKey' } : (secret ?? never())),
  companions: ({ session }) =>
    session && { accessKeyId: { ...session, jsonKey: 'AccessKeyId' }, sessionToken: { ...session, jsonKey: 'SessionToken' } },
  placer,
})

function never(): never {
  throw new Error('the schema lets no entry through without one of the two')
}

/** Bytes that are held at once for their hash: of a body whose hash the agent does not say, or of one chunk. */
const most = 8 << 20

function placer(config: Config): Placer {
  const faultOf = (claim: AwsClaim) => faultIn(config, claim)
  return {
    headers: ['authorization', tokenHeader],
    params: [keyParam, tokenParam],
    discards: ['x-amz-signature'],
    param(name, value) {
      if (name === tokenParam) return value === config.stub ? value : undefined
      const claim = readPresignedClaim(value, '')
      if (claim?.keyId !== config.stub || faultOf(claim) !== undefined) return undefined
      return config.accessKeyId === undefined ? value : value.replace(config.stub, config.accessKeyId)
    },
    header(name, value) {
      // A client with temporary credentials sends a token; where it is the stub, it makes room for the real one.
      if (name === tokenHeader) return value === config.stub ? value : undefined
      const claim = readClaim(value)
      if (claim?.keyId !== config.stub || faultOf(claim) !== undefined) return undefined
      return config.accessKeyId === undefined ? value : value.replace(config.stub, config.accessKeyId)
    },
    fault(place, value) {
      if (place === 'query') {
        const claim = readPresignedClaim(value, '')
        return claim ? faultOf(claim) : 'a presigned URL is signed anew where it has X-Amz-Credential, of Signature Version 4'
      }
      // SigV4a: one signature for several regions, by elliptic curves.
      if (/^AWS4-ECDSA/i.test(value))
        return 'AWS4-ECDSA-P256-SHA256 is not signed anew; sign for one region, with AWS4-HMAC-SHA256'
      const claim = readClaim(value)
      return claim && faultOf(claim)
    },
    sign: (request, real, tools) => sign(config, request, real, tools),
  }
}

/** Why this credential does not sign for what was claimed; `undefined`: it does. */
function faultIn({ regions, services }: Config, { region, service }: AwsClaim): string | undefined {
  if (!regions.includes(region)) return `it was signed for the region ${region}, and not for ${regions.join(', ')}`
  if (!services.includes(service)) return `it was signed for the service ${service}, and not for ${services.join(', ')}`
  return undefined
}

/** Also where a rule lets foreign credentials pass, only what was claimed with the stub is signed. */
function own(config: Config, claim: AwsClaim): AwsClaim {
  const fault = [config.stub, config.accessKeyId].includes(claim.keyId)
    ? faultIn(config, claim)
    : 'it was signed with another key than the stub'
  if (fault !== undefined) throw new ProxyError('bad_credential', fault)
  return claim
}

/** Written anew, or good only with what was thrown away. */
const tokenHeader = 'x-amz-security-token'
const tokenParam = 'X-Amz-Security-Token'
const keyParam = 'X-Amz-Credential'
const replaced = new Set(['authorization', 'x-amz-date', tokenHeader])

type Real = (companion?: string) => string

async function sign(config: Config, request: Unsigned, real: Real, tools: SignTools): Promise<Signed> {
  const presigned = readPresigned(request.query, tools.now)
  if (presigned) return signUrl(config, request, presigned, real, tools)
  const claim = readClaim(valuesOf(request.headers, 'authorization').join())
  // Its name may have been listed in Connection, so that it ended here.
  if (!claim) throw new ProxyError('bad_credential', 'there is no Authorization header left to sign anew')
  const kept = without(request.headers, replaced)
  const [declared, ...others] = valuesOf(kept, 'x-amz-content-sha256')
  if (others.length > 0) throw new ProxyError('bad_credential', 'x-amz-content-sha256 is sent twice')
  const chunked = declared === undefined ? undefined : chunkSigning(declared)
  if (!chunked && declared !== undefined && !passing.test(declared)) {
    throw new ProxyError(
      'bad_credential',
      'x-amz-content-sha256 is neither a hash nor a way to send the body that can be signed anew',
    )
  }
  const signer = await awsSigner({ ...own(config, claim), ...keyOf(config, real) }, tools)
  const body = declared === undefined ? await request.whole(most) : undefined
  const { headers, signature } = await signer.signRequest({ ...request, headers: kept }, claim.signed, body)
  if (!chunked) return { headers }
  return { headers, body: (chunks) => resignChunks(chunks, { ...chunked, seed: signature, most }, signer) }
}

async function signUrl(config: Config, request: Unsigned, presigned: Presigned, real: Real, tools: SignTools): Promise<Signed> {
  const { claim, rest, expiresIn, hash } = presigned
  if (valuesOf(request.headers, 'authorization').length > 0)
    throw new ProxyError('bad_credential', 'the request is signed in its URL and in Authorization; sign it once')
  if (hash !== undefined && hash !== unsignedPayload)
    throw new ProxyError('bad_credential', 'the presigned URL names the hash of its body; presign it with UNSIGNED-PAYLOAD')
  const headers = without(request.headers, new Set([tokenHeader]))
  const signer = await awsSigner({ ...own(config, claim), ...keyOf(config, real) }, tools)
  // S3 signs no body in a URL; others sign its hash.
  const body = signer.isS3 || hash !== undefined ? undefined : await request.whole(most)
  const added = await signer.presign({ ...request, headers, query: rest }, claim.signed, expiresIn, body)
  return { headers, query: presignedQuery(rest, added) }
}

function keyOf({ accessKeyId }: Config, real: Real): Pick<SigningKey, 'accessKeyId' | 'real' | 'sessionToken'> {
  if (accessKeyId !== undefined) return { accessKeyId, real }
  const temporary = real('accessKeyId')
  if (!keyIdForm.test(temporary))
    throw new ProxyError('credential_unavailable', 'the session has something else where its access key id should be')
  return { accessKeyId: temporary, real, sessionToken: real('sessionToken') }
}

const unsignedPayload = 'UNSIGNED-PAYLOAD'

/** Modes that say something of the body which stays true: it streams through. */
const passing = /^(?:[0-9a-f]{64}|UNSIGNED-PAYLOAD|STREAMING-UNSIGNED-PAYLOAD-TRAILER)$/

function without(headers: readonly string[], names: ReadonlySet<string>): readonly string[] {
  return headers.filter((_, i) => !names.has((headers[i - (i % 2)] ?? '').toLowerCase()))
}

function valuesOf(headers: readonly string[], name: string): readonly string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name)
}
