/** Certificates (RFC 5280), field by field. Keys and signatures are made by OpenSSL through node:crypto. */
import { createHash, randomBytes, sign, type KeyObject } from 'node:crypto'
import type { Host } from '#base/host.ts'
import { bits, encode, explicit, implicit, nothing, octets, oid, positive, sequence, set, time, utf8, yes } from './der.ts'
import { content, parts, read, type Der } from './der.ts'

/** A public key as a certificate holds it. Taken once and used for many: to export a key costs as much as to sign. */
export interface SubjectKey {
  readonly info: Der
  /** SHA-256 of the key, cut to 160 bits (RFC 7093 section 2, method 1), so that no SHA-1 is needed. */
  readonly id: Buffer
}

/** What a certificate says; times in milliseconds since the epoch. */
export interface CertificateRequest {
  readonly subject: Der
  readonly issuer: Der
  readonly key: SubjectKey
  readonly signingKey: KeyObject
  readonly notBefore: number
  readonly notAfter: number
  readonly extensions: readonly Der[]
}

/** Writes and signs a certificate: X.509 v3, a random serial of 128 bits, SHA-256. Returns DER. */
export function issue(order: CertificateRequest): Buffer {
  const algorithm = signatureAlgorithm(order.signingKey)
  const tbs = sequence(
    explicit(0, positive(Buffer.from([2]))),
    positive(randomBytes(16)),
    algorithm,
    order.issuer,
    sequence(time(order.notBefore), time(order.notAfter)),
    order.subject,
    order.key.info,
    explicit(3, sequence(...order.extensions)),
  )
  return encode(sequence(tbs, algorithm, bits(sign('sha256', encode(tbs), order.signingKey))))
}

/** PEM of a DER certificate (RFC 7468). */
export function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** A name of one common name, which may have 64 characters at most (RFC 5280 appendix A.1); `undefined`: the empty name. */
export function distinguishedName(commonName: string | undefined): Der {
  return commonName === undefined ? sequence() : sequence(set(sequence(oid('2.5.4.3'), utf8(commonName))))
}

/** Takes a public key apart for `issue`. */
export function subjectKey(publicKey: KeyObject): SubjectKey {
  const info = read(publicKey.export({ type: 'spki', format: 'der' }))
  const [, key] = parts(info)
  // The first content byte of a BIT STRING counts unused bits and is not part of the key.
  return { info, id: createHash('sha256').update(content(key).subarray(1)).digest().subarray(0, 20) }
}

/** What a CA of ours may do: sign leaves, revocation lists, and CAs below it down to that depth. */
export function authorityExtensions(
  keyId: Buffer,
  { pathLength = 0, issuerKeyId }: { readonly pathLength?: number; readonly issuerKeyId?: Buffer } = {},
): readonly Der[] {
  return [
    extension('2.5.29.19', true, sequence(yes(), positive(Buffer.from([pathLength])))),
    // keyCertSign and cRLSign, bits 5 and 6.
    extension('2.5.29.15', true, bits(Buffer.from([0b0000_0110]), 1)),
    extension('2.5.29.14', false, octets(keyId)),
    // A root is its own issuer and need not say so; all others must (RFC 5280 section 4.2.1.1).
    ...(issuerKeyId ? [extension('2.5.29.35', false, sequence(implicit(0, issuerKeyId)))] : []),
  ]
}

/** What a leaf may do: be a TLS server for these names. An empty subject makes the names critical (RFC 5280, 4.2.1.6). */
export function leafExtensions(
  hosts: readonly Host[],
  keyId: Buffer,
  issuerKeyId: Buffer,
  emptySubject: boolean,
): readonly Der[] {
  const names = hosts.map((host) => implicit(2, Buffer.from(host, 'ascii')))
  return [
    extension('2.5.29.19', true, sequence()),
    // digitalSignature, bit 0.
    extension('2.5.29.15', true, bits(Buffer.from([0b1000_0000]), 7)),
    extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1'))),
    extension('2.5.29.17', emptySubject, sequence(...names)),
    // Python 3.13 and later refuse a leaf that does not name its issuer's key.
    extension('2.5.29.35', false, sequence(implicit(0, issuerKeyId))),
    extension('2.5.29.14', false, octets(keyId)),
  ]
}

export interface Issuer {
  readonly subject: Der
  readonly keyId: Buffer | undefined
  /** How many CAs may stand between it and a leaf; `undefined`: any number. */
  readonly pathLength: number | undefined
}

/**
 * What certificates below a CA of the operator's file must repeat, byte for byte as it stands there, and how deep they may
 * be. `undefined` when it is not the DER that would be written again.
 */
export function readIssuer(der: Buffer): Issuer | undefined {
  // Version, serial, algorithm, issuer, validity, subject, key; extensions are the last.
  const tbs = parts(parts(readAny(der))[0])
  const subject = tbs[5]
  if (!subject || !der.includes(encode(subject))) return undefined
  const wrapped = extensionOf(tbs, '2.5.29.14')
  const constraints = extensionOf(tbs, '2.5.29.19')
  const depth = constraints.length > 0 ? content(parts(read(constraints))[1]) : Buffer.alloc(0)
  return {
    subject,
    keyId: wrapped.length > 0 ? content(read(wrapped)) : undefined,
    pathLength: depth.length > 0 ? depth.readUIntBE(0, Math.min(depth.length, 6)) : undefined,
  }
}

/** The content of an extension; empty where there is none. */
function extensionOf(tbs: readonly Der[], id: string): Buffer {
  const wanted = encode(oid(id))
  const found = parts(parts(tbs.at(-1))[0]).find((each) =>
    parts(each)
      .slice(0, 1)
      .some((first) => encode(first).equals(wanted)),
  )
  return content(parts(found).at(-1))
}

/** OpenSSL reads some BER too, node-forge does not. */
function readAny(der: Buffer): Der | undefined {
  try {
    return read(der)
  } catch {
    return undefined
  }
}

/** One extension (RFC 5280 section 4.1), its value in DER. */
export function extension(id: string, critical: boolean, value: Der): Der {
  return sequence(oid(id), ...(critical ? [yes()] : []), octets(encode(value)))
}

/** ecdsa-with-SHA256 has no parameters (RFC 5758 section 3.2), sha256WithRSAEncryption has NULL (RFC 4055 section 5). */
function signatureAlgorithm(key: KeyObject): Der {
  return key.asymmetricKeyType === 'rsa'
    ? sequence(oid('1.2.840.113549.1.1.11'), nothing())
    : sequence(oid('1.2.840.10045.4.3.2'))
}
