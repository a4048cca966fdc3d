/**
 * Reads the server name out of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3) before any handshake. Pure:
 * bytes in, answer out. Only what is needed to route is read; the handshake itself is left to OpenSSL.
 */

export type Hello =
  | { readonly kind: 'more' }
  | { readonly kind: 'not-tls' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'hello'; readonly serverName: string | undefined }

/** A ClientHello may span records and segments (post-quantum key shares); past this it is an attack. */
export const mostHelloBytes = 64 * 1024

const handshakeRecord = 22
const clientHello = 1
const serverNameExtension = 0
const hostNameType = 0

/** What the bytes so far say; `more` until the whole ClientHello is there. */
export function readClientHello(bytes: Uint8Array): Hello {
  if (bytes.length === 0) return { kind: 'more' }
  if (bytes[0] !== handshakeRecord) return { kind: 'not-tls' }
  const message = reassemble(bytes)
  if (message === 'more' || message === 'malformed') return { kind: message }
  if (message[0] !== clientHello) return { kind: 'malformed' }
  try {
    return { kind: 'hello', serverName: serverName(new Reader(message.subarray(4))) }
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'malformed' }
    throw error
  }
}

/** The first handshake message, joined from as many records as it takes. */
function reassemble(bytes: Uint8Array): Uint8Array | 'more' | 'malformed' {
  const parts: Uint8Array[] = []
  let have = 0
  let at = 0
  // Known once its four bytes are there; joined only once all is, since records may be a byte long.
  let size: number | undefined
  while (true) {
    if (bytes.length < at + 5) return bytes.length > mostHelloBytes ? 'malformed' : 'more'
    if (bytes[at] !== handshakeRecord || bytes[at + 1] !== 3) return 'malformed'
    const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0)
    if (length === 0 || length > 16_384 + 256) return 'malformed'
    const part = bytes.subarray(at + 5, at + 5 + length)
    parts.push(part)
    have += part.length
    at += 5 + length
    if (have >= 4) {
      size ??= messageSize(parts)
      if (size > mostHelloBytes) return 'malformed'
      if (have >= size) return Buffer.concat(parts, size)
    }
    if (part.length < length) return 'more'
  }
}

/** Of a handshake message with its four bytes of type and length. */
function messageSize(parts: readonly Uint8Array[]): number {
  const head = Buffer.concat(parts.slice(0, 4), 4)
  return 4 + head.readUIntBE(1, 3)
}

function serverName(hello: Reader): string | undefined {
  hello.skip(2 + 32) // legacy_version, random
  hello.block(1) // legacy_session_id
  hello.block(2) // cipher_suites
  hello.block(1) // legacy_compression_methods
  if (hello.done) return undefined
  const extensions = hello.block(2)
  let found: string | undefined
  while (!extensions.done) {
    const type = extensions.number(2)
    const body = extensions.block(2)
    if (type !== serverNameExtension) continue
    const list = body.block(2)
    while (!list.done) {
      const nameType = list.number(1)
      const name = list.block(2)
      if (nameType !== hostNameType) continue
      // Two names would let us and the TLS library each read another one.
      if (found !== undefined) throw new RangeError('two server names')
      found = name.text()
    }
  }
  return found
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  number(width: 1 | 2): number {
    const high = this.#byte()
    return width === 1 ? high : (high << 8) | this.#byte()
  }

  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new RangeError('short')
    this.#at += count
  }

  /** A vector behind a length of `width` bytes. */
  block(width: 1 | 2): Reader {
    const length = this.number(width)
    const start = this.#at
    this.skip(length)
    return new Reader(this.#bytes.subarray(start, start + length))
  }

  text(): string {
    return Buffer.from(this.#bytes).toString('latin1')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new RangeError('short')
    this.#at += 1
    return byte
  }
}
