/** What kinds of leases need of keys and chance. */
import { createPrivateKey, randomBytes, sign } from 'node:crypto'
import { ProxyError } from '#base/errors.ts'
import type { Secret } from '#base/secret.ts'
import type { LeaseTools } from '#credentials/lease.ts'

/** The tools of this process. */
export const leaseTools: LeaseTools = { signJwt, nonce: () => randomBytes(16).toString('base64url') }

/**
 * A compact JWS (RFC 7515 section 7.1) over the claims: RS256 with an RSA key, ES256 with a P-256 key (RFC 7518 section
 * 3.1). Throws `credential_unavailable` for a key that is no private PEM key, or not one for this algorithm.
 */
export function signJwt(
  header: { readonly alg: 'RS256' | 'ES256'; readonly kid?: string },
  claims: Readonly<Record<string, unknown>>,
  key: Secret,
): string {
  const signed = `${part({ typ: 'JWT', ...header })}.${part(claims)}`
  // RFC 7518 section 3.4: the two numbers of the signature one after the other, where the platform would write DER.
  const signature = sign('sha256', Buffer.from(signed), { key: keyFor(header.alg, key), dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

function keyFor(alg: 'RS256' | 'ES256', pem: Secret): ReturnType<typeof createPrivateKey> {
  let key: ReturnType<typeof createPrivateKey>
  try {
    key = createPrivateKey(pem.expose())
  } catch {
    // Without the cause: what fails to parse a key may quote it.
    throw new ProxyError('credential_unavailable', `${pem.name} is not a private key in PEM`)
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  // RFC 7518 section 3.3: RS256 takes no key under 2048 bits.
  const fits =
    alg === 'RS256'
      ? type === 'rsa' && (details?.modulusLength ?? 0) >= 2048
      : type === 'ec' && details?.namedCurve === 'prime256v1'
  if (!fits) throw new ProxyError('credential_unavailable', `${pem.name} is not a key for ${alg}`)
  return key
}

function part(value: Readonly<Record<string, unknown>>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
