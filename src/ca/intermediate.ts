import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { backdateMs, type Authority } from './authority.ts'
import { authorityExtensions, distinguishedName, issue, pem, subjectKey } from './x509.ts'

/** How long an issuing intermediate lives: well past the leaves it signs last. */
const intermediateLifeMs = 30 * 86_400_000

/** Whether a CA may stand between this one and a leaf. One that is no root was given to us to sign leaves with. */
export function mayHaveIntermediate({ isRoot, pathLength }: Authority): boolean {
  return isRoot && pathLength !== 0
}

/**
 * A CA below this root that may sign leaves only. Its key is new, in memory, and gone with the process; agents need not
 * know it, since it is sent with each leaf. `now` in milliseconds since the epoch.
 */
export function issueIntermediate(root: Authority, now: number, lifeMs = intermediateLifeMs): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = subjectKey(publicKey)
  const subject = distinguishedName(`iron-proxy issuing ${key.id.toString('hex', 0, 4)}`)
  const notBefore = Math.max(now - backdateMs, root.notBefore)
  const notAfter = Math.min(now + lifeMs, root.notAfter)
  const certPem = pem(
    issue({
      subject,
      issuer: root.subject,
      key,
      signingKey: root.key,
      notBefore,
      notAfter,
      extensions: authorityExtensions(key.id, { pathLength: 0, issuerKeyId: root.keyId }),
    }),
  )
  return {
    certPem,
    chainPem: certPem + root.chainPem,
    subject,
    keyId: key.id,
    key: privateKey,
    isRoot: false,
    pathLength: 0,
    notBefore,
    notAfter,
    fingerprint: new X509Certificate(certPem).fingerprint256,
  }
}

/** Whether agents that hold only `old` can be led to a root below it and that root's intermediate. */
export function mayCrossSign({ isRoot, pathLength }: Authority): boolean {
  return isRoot && (pathLength === undefined || pathLength >= 2)
}

/** The old root's word for the new one's key: who trusts the old one trusts what the new one signs. PEM. */
export function crossSign(old: Authority, next: Authority, now: number): string {
  const { publicKey } = new X509Certificate(next.certPem)
  return pem(
    issue({
      subject: next.subject,
      issuer: old.subject,
      key: subjectKey(publicKey),
      signingKey: old.key,
      notBefore: Math.max(now - backdateMs, old.notBefore),
      notAfter: Math.min(old.notAfter, next.notAfter),
      extensions: authorityExtensions(next.keyId, { pathLength: 1, issuerKeyId: old.keyId }),
    }),
  )
}
