import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto'

/** What a sealed text is bound to: moved anywhere else, it does not open. */
export type SealContext = readonly (string | number)[]

/** Bytes in a key: AES-256. */
export const sealKeyBytes = 32

const algorithm = 'aes-256-gcm'
/** NIST SP 800-38D section 8.2: 96 random bits, good for 2^32 texts under one key. */
const nonceBytes = 12
const tagBytes = 16
/** First byte of what is sealed, so that another way of sealing can be told from this one. */
const format = 1

/** Seals texts for the disk with AES-256-GCM. Layout: format, nonce, ciphertext, tag. */
export class Seal {
  /** A KeyObject does not print. */
  readonly #key: KeyObject

  /** Throws RangeError unless the key has 32 bytes. */
  constructor(key: Uint8Array) {
    if (key.length !== sealKeyBytes) throw new RangeError(`a seal key has ${sealKeyBytes} bytes`)
    this.#key = createSecretKey(key)
  }

  /** To put its file back where that was deleted; for no other eyes. */
  key(): Buffer {
    return this.#key.export()
  }

  /** Never the same bytes twice. */
  seal(text: string, context: SealContext): Uint8Array {
    const nonce = randomBytes(nonceBytes)
    const cipher = createCipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes })
    cipher.setAAD(boundTo(context))
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([Uint8Array.of(format), nonce, sealed, cipher.getAuthTag()])
  }

  /** `undefined`: sealed with another key or for another context, or no longer what was sealed. */
  open(bytes: Uint8Array, context: SealContext): string | undefined {
    const end = bytes.length - tagBytes
    if (bytes[0] !== format || end < 1 + nonceBytes) return undefined
    const nonce = bytes.subarray(1, 1 + nonceBytes)
    const decipher = createDecipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes })
    decipher.setAAD(boundTo(context))
    decipher.setAuthTag(bytes.subarray(end))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(1 + nonceBytes, end)), decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }
}

/** JSON keeps the parts apart: ["ab", 1] and ["a", "b1"] are two contexts. */
function boundTo(context: SealContext): Buffer {
  return Buffer.from(JSON.stringify(context))
}
