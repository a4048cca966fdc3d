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

/** What these bytes say, if they are all that came so far. */
export function readClientHello(bytes: Uint8Array): Hello {
  return new HelloReader().read(bytes)
}

/**
 * Reads a ClientHello while it comes in. It goes on where it stopped, so that a message in thousands of records or segments
 * costs no more than its bytes, and it reads in place: only a message in several records is copied, once.
 */
export class HelloReader {
  /** Where the first record begins that is not yet here in full. */
  #at = 0
  /** Bytes of the message in the records before it. */
  #have = 0
  /** Of the handshake message with its four bytes of type and length; known once those are here. */
  #size: number | undefined

  /** `bytes`: all that came so far, from the first on. `more` until the whole ClientHello is there. */
  read(bytes: Uint8Array): Hello {
    if (bytes.length === 0) return { kind: 'more' }
    if (bytes[0] !== handshakeRecord) return { kind: 'not-tls' }
    const message = this.#message(bytes)
    if (message === 'more' || message === 'malformed') return { kind: message }
    if (message[0] !== clientHello) return { kind: 'malformed' }
    try {
      return { kind: 'hello', serverName: serverName(new Reader(message, 4)) }
    } catch (error) {
      if (error instanceof RangeError) return { kind: 'malformed' }
      throw error
    }
  }

  /** The first handshake message, out of as many records as it takes. */
  #message(bytes: Uint8Array): Uint8Array | 'more' | 'malformed' {
    while (true) {
      const start = this.#at + recordHeader
      if (bytes.length < start) return bytes.length > mostHelloBytes ? 'malformed' : 'more'
      const length = recordLength(bytes, this.#at)
      if (length === undefined) return 'malformed'
      const have = this.#have + Math.min(length, bytes.length - start)
      if (have >= 4) {
        this.#size ??= 4 + Buffer.from(joined(bytes, 4)).readUIntBE(1, 3)
        if (this.#size > mostHelloBytes) return 'malformed'
        if (have >= this.#size) return joined(bytes, this.#size)
      }
      if (bytes.length < start + length) return bytes.length > mostHelloBytes ? 'malformed' : 'more'
      this.#at = start + length
      this.#have = have
    }
  }
}

/** Type, version and length. */
const recordHeader = 5

/** Of the record at this place; `undefined`: no handshake record of TLS. */
function recordLength(bytes: Uint8Array, at: number): number | undefined {
  if (bytes[at] !== handshakeRecord || bytes[at + 1] !== 3) return undefined
  const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0)
  return length === 0 || length > 16_384 + 256 ? undefined : length
}

/** The first `size` bytes of the message, in place where the first record holds them. */
function joined(bytes: Uint8Array, size: number): Uint8Array {
  const first = recordLength(bytes, 0) ?? 0
  if (first >= size) return bytes.subarray(recordHeader, recordHeader + size)
  const message = new Uint8Array(size)
  for (let at = 0, have = 0; have < size;) {
    const start = at + recordHeader
    at = start + (recordLength(bytes, at) ?? 0)
    const part = bytes.subarray(start, Math.min(at, start + size - have))
    message.set(part, have)
    have += part.length
  }
  return message
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
  #at: number
  readonly #end: number

  constructor(bytes: Uint8Array, start: number, end = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  get done(): boolean {
    return this.#at >= this.#end
  }

  number(width: 1 | 2): number {
    const high = this.#byte()
    return width === 1 ? high : (high << 8) | this.#byte()
  }

  skip(count: number): void {
    if (this.#at + count > this.#end) throw new RangeError('short')
    this.#at += count
  }

  /** A vector behind a length of `width` bytes. */
  block(width: 1 | 2): Reader {
    const length = this.number(width)
    const start = this.#at
    this.skip(length)
    return new Reader(this.#bytes, start, this.#at)
  }

  text(): string {
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, this.#end - this.#at).toString('latin1')
  }

  #byte(): number {
    const byte = this.#at < this.#end ? this.#bytes[this.#at] : undefined
    if (byte === undefined) throw new RangeError('short')
    this.#at += 1
    return byte
  }
}
