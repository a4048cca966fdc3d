import { createHash, X509Certificate } from 'node:crypto'
import { AuthorityError, type Authority } from './authority.ts'
import { bundlePem, certificatesIn } from './bundle.ts'
import { loadAuthority, readWhole, type AuthorityPaths } from './files.ts'

/** Where a rotation keeps what it needs, beside the two files of the CA. */
export interface RotationPaths {
  readonly nextCert: string
  readonly nextKey: string
  /** The next root's certificate, signed by the one in force. */
  readonly nextCross: string
  /** The same, once the next is the one in force. */
  readonly cross: string
  readonly oldCert: string
  readonly oldKey: string
}

/** A root that agents should trust beside the one in force. */
export interface OtherRoot {
  readonly role: 'next' | 'old'
  readonly certPem: string
  readonly notAfter: number
  readonly fingerprint: string
}

/** What the files say: who signs, and whom agents should trust. */
export interface Trust {
  /** Its chain has the old root's word for it, while there is one. */
  readonly active: Authority
  readonly others: readonly OtherRoot[]
  /** Our certificates for agents, the one in force first. */
  readonly ours: string
  /** Tells bundles apart: eight hex digits of the SHA-256 of `ours`. */
  readonly bundle: string
}

/** `certs/ca.crt` and `certs/ca.key` have `certs/ca.next.crt` and so on beside them. */
export function rotationPaths({ certPath, keyPath }: AuthorityPaths): RotationPaths {
  const cert = (word: string) => certPath.replace(/(\.\w+)?$/, (ending) => `.${word}${ending}`)
  const key = (word: string) => keyPath.replace(/(\.\w+)?$/, (ending) => `.${word}${ending}`)
  return {
    nextCert: cert('next'),
    nextKey: key('next'),
    nextCross: cert('next-cross'),
    cross: cert('cross'),
    oldCert: cert('old'),
    oldKey: key('old'),
  }
}

/** Reads the CA and whatever a rotation has put beside it. Throws AuthorityError. */
export async function loadTrust(paths: Parameters<typeof loadAuthority>[0]): Promise<Trust> {
  const beside = rotationPaths(paths)
  const own = await loadAuthority(paths).catch((error: unknown) => explained(error, beside))
  const [next, old, cross] = await Promise.all([
    readRoot('next', beside.nextCert),
    readRoot('old', beside.oldCert),
    readIfThere(beside.cross),
  ])
  const others = [next, old].filter((each) => each !== undefined).filter(({ fingerprint }) => fingerprint !== own.fingerprint)
  const vouched = cross !== undefined && vouchesFor(cross, own) ? lines(certificatesIn(cross)) : ''
  const active = { ...own, chainPem: own.chainPem + vouched }
  const ours = bundlePem(own.certPem + others.map(({ certPem }) => certPem).join(''), { only: 'ours' })
  return { active, others, ours, bundle: createHash('sha256').update(ours).digest('hex').slice(0, 8) }
}

/** Between its two renames an activation leaves the new key beside the old certificate: say how to go on. */
async function explained(error: unknown, { nextCert, nextKey }: RotationPaths): Promise<never> {
  const brokenOff =
    error instanceof AuthorityError &&
    error.code === 'ca_key_mismatch' &&
    (await readIfThere(nextCert)) !== undefined &&
    (await readIfThere(nextKey)) === undefined
  if (!brokenOff) throw error
  throw new AuthorityError(
    'ca_key_mismatch',
    `${error.message}; a rotation was broken off, go on with \`iron-proxy ca rotate --activate\``,
  )
}

async function readRoot(role: OtherRoot['role'], path: string): Promise<OtherRoot | undefined> {
  const certPem = await readIfThere(path)
  if (certPem === undefined) return undefined
  try {
    const certificate = new X509Certificate(certPem)
    return {
      role,
      certPem: lines(certificatesIn(certPem)),
      notAfter: certificate.validToDate.getTime(),
      fingerprint: certificate.fingerprint256,
    }
  } catch (cause) {
    throw new AuthorityError('ca_unreadable', `${path}: holds no certificate that can be read`, { cause })
  }
}

/** A word for another key would break every chain it is sent in. */
function vouchesFor(cross: string, { key }: Authority): boolean {
  try {
    return new X509Certificate(cross).checkPrivateKey(key)
  } catch {
    return false
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readWhole(path)
  } catch (error) {
    if (error instanceof AuthorityError && error.code === 'ca_missing') return undefined
    throw error
  }
}

function lines(blocks: readonly string[]): string {
  return blocks.map((each) => `${each}\n`).join('')
}
