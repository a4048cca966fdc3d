import { createHash } from 'node:crypto'
import { certificatesIn } from './bundle.ts'

/** Java's own word for stores that hold no secret. */
export const storePassword = 'changeit'

/**
 * A trust store in Java's format JKS, with every certificate of a PEM bundle: Java reads no PEM, and `keytool -importcert` takes the first
 * certificate of a file alone. Source: the JDK's sun.security.provider.JavaKeyStore. `made`: milliseconds since the epoch.
 */
export function javaTrustStore(bundle: string, made: number): Buffer {
  const certificates = certificatesIn(bundle).map(derOf)
  // Magic number, version 2, count.
  const parts = [int32(0xfeedfeed), int32(2), int32(certificates.length)]
  for (const [i, der] of certificates.entries()) {
    const time = Buffer.alloc(8)
    time.writeBigInt64BE(BigInt(made))
    // 2: a trusted certificate.
    parts.push(int32(2), text(`iron-proxy-${i}`), time, text('X.509'), int32(der.length), der)
  }
  const store = Buffer.concat(parts)
  const digest = createHash('sha1')
    .update(Buffer.from(storePassword, 'utf16le').swap16())
    .update('Mighty Aphrodite')
    .update(store)
    .digest()
  return Buffer.concat([store, digest])
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** ASCII behind its length, as DataOutput.writeUTF has it. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'ascii')
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}
