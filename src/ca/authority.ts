/**
 * ca/ answers: how do we show an agent a certificate it trusts, for any host the policy lets us read? The root is made
 * once and lives in two files; an issuing intermediate below it and the leaves live in memory only. Neighbours: listeners/
 * ask `LeafCache` after policy/ has decided, admin/ hands out the bundle, cli/ makes, shows and replaces the root.
 */
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'
import { Secret } from '#base/secret.ts'
import { certificatesIn } from './bundle.ts'
import type { Der } from './der.ts'
import { authorityExtensions, distinguishedName, issue, pem, readIssuer, subjectKey } from './x509.ts'

/** A CA that can sign. Everything but `key` is public, and a KeyObject does not print. */
export interface Authority {
  /** Every certificate of its file, the one that signs first. */
  readonly certPem: string
  /** What a server sends after the leaf: all of them but self-signed roots, which clients have. */
  readonly chainPem: string
  readonly subject: Der
  readonly keyId: Buffer
  readonly key: KeyObject
  /** It vouches for itself, and agents hold it. */
  readonly isRoot: boolean
  /** How many CAs may stand between it and a leaf; `undefined`: any number. */
  readonly pathLength: number | undefined
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
  /** SHA-256 of the certificate that signs, as colon-separated hex. */
  readonly fingerprint: string
}

export type AuthorityFault =
  | 'ca_missing'
  | 'ca_unreadable'
  | 'ca_exists'
  | 'ca_read_only'
  | 'ca_key_mode'
  | 'ca_key_unsupported'
  | 'ca_key_mismatch'
  | 'ca_not_a_ca'
  | 'ca_not_yet_valid'
  | 'ca_expired'

/** Why there is no usable CA. For the operator: the message names the file and the fix; no agent ever reads it. */
export class AuthorityError extends Error {
  readonly code: AuthorityFault

  constructor(code: AuthorityFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AuthorityError'
    this.code = code
  }
}

/** Clocks of agents and proxy may differ: a certificate is valid from an hour before it was made. */
export const backdateMs = 3_600_000

const dayMs = 86_400_000

/** Below a root of ours stand, while it is being replaced, the next root and that one's intermediate. */
const rootDepth = 2

/** A new self-signed CA with a P-256 key. `now` in milliseconds since the epoch. Throws RangeError on a bad name or life. */
export function createAuthority(order: { readonly commonName: string; readonly days: number; readonly now: number }): {
  readonly certPem: string
  readonly keyPem: Secret
} {
  const { commonName, days, now } = order
  if (commonName.length === 0 || commonName.length > 64) throw new RangeError('the CA needs a common name of 1 to 64 characters')
  if (!Number.isInteger(days) || days < 1 || days > 36_500) throw new RangeError('the CA must live 1 to 36500 whole days')
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const subject = distinguishedName(commonName)
  const key = subjectKey(publicKey)
  const certificate = issue({
    subject,
    issuer: subject,
    key,
    signingKey: privateKey,
    notBefore: now - backdateMs,
    notAfter: now + days * dayMs,
    extensions: authorityExtensions(key.id, { pathLength: rootDepth }),
  })
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' })
  return { certPem: pem(certificate), keyPem: new Secret('CA key', keyPem) }
}

/**
 * Joins certificate and key (PKCS #8, SEC 1 or PKCS #1 PEM; EC or RSA) into an authority and checks that agents would
 * accept what it signs. `names` are the file names for the message. Throws AuthorityError.
 */
export function openAuthority(
  files: { readonly certPem: string; readonly keyPem: Secret; readonly now: number },
  names: { readonly cert: string; readonly key: string } = { cert: 'CA certificate', key: 'CA key' },
): Authority {
  const blocks = certificatesIn(files.certPem)
  const certificates = blocks.map((each) => readCertificate(each, names.cert))
  const [certificate] = certificates
  if (!certificate) throw new AuthorityError('ca_unreadable', `${names.cert}: holds no PEM certificate`)
  const key = readKey(files.keyPem, names.key)
  if (!certificate.ca) {
    throw new AuthorityError(
      'ca_not_a_ca',
      `${names.cert}: its first certificate is not a CA that may sign certificates; make one with \`iron-proxy ca init\``,
    )
  }
  if (!certificate.checkPrivateKey(key)) {
    throw new AuthorityError(
      'ca_key_mismatch',
      `${names.key}: is not the key of ${names.cert}; restore the pair that belongs together`,
    )
  }
  const notBefore = certificate.validFromDate.getTime()
  const notAfter = certificate.validToDate.getTime()
  if (files.now >= notAfter) {
    throw new AuthorityError(
      'ca_expired',
      `${names.cert}: expired on ${certificate.validToDate.toISOString()}; move it away and run \`iron-proxy ca init\``,
    )
  }
  if (files.now < notBefore) {
    throw new AuthorityError(
      'ca_not_yet_valid',
      `${names.cert}: valid only from ${certificate.validFromDate.toISOString()}; check the clock of this machine`,
    )
  }
  const issuer = readIssuer(certificate.raw)
  if (!issuer)
    throw new AuthorityError('ca_unreadable', `${names.cert}: is not plain DER inside; make a CA with \`iron-proxy ca init\``)
  return {
    certPem: lines(blocks),
    chainPem: lines(blocks.filter((_, index) => certificates[index]?.subject !== certificates[index]?.issuer)),
    subject: issuer.subject,
    keyId: issuer.keyId ?? subjectKey(certificate.publicKey).id,
    key,
    isRoot: certificate.subject === certificate.issuer,
    pathLength: issuer.pathLength,
    notBefore,
    notAfter,
    fingerprint: certificate.fingerprint256,
  }
}

function readCertificate(text: string, name: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch (cause) {
    throw new AuthorityError('ca_unreadable', `${name}: holds a certificate that cannot be read`, { cause })
  }
}

const curves: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

/** The error of OpenSSL is not passed on as a cause: it is about a secret file, and says no more than this. */
function readKey(keyPem: Secret, name: string): KeyObject {
  const key = parseKey(keyPem)
  if (!key) throw new AuthorityError('ca_unreadable', `${name}: holds no private key in PEM without a passphrase`)
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  const usable =
    key.asymmetricKeyType === 'ec' ? curves.has(namedCurve) : key.asymmetricKeyType === 'rsa' && modulusLength >= 2048
  if (usable) return key
  throw new AuthorityError(
    'ca_key_unsupported',
    `${name}: must be an EC key on P-256, P-384 or P-521, or an RSA key of at least 2048 bits`,
  )
}

function parseKey(keyPem: Secret): KeyObject | undefined {
  try {
    return createPrivateKey(keyPem.expose())
  } catch {
    return undefined
  }
}

function lines(blocks: readonly string[]): string {
  return blocks.map((each) => `${each}\n`).join('')
}
