import { randomBytes } from 'node:crypto'

/** What to put into a hand-made ClientHello; names are bytes, since most of what is tested here is not a name. */
export interface ClientHelloOptions {
  /** Entries of the server_name extension; none: the extension is left out. */
  readonly names?: readonly (string | Uint8Array)[]
  /** Protocols offered; none: the extension is left out. */
  readonly alpn?: readonly string[]
  /** Further extensions by their number, e.g. 0xfe0d for ECH. */
  readonly extensions?: readonly (readonly [number, Uint8Array])[]
  /** Bytes of the padding extension (RFC 7685). */
  readonly padding?: number
  /** Longest record; a smaller one splits the message over several (RFC 8446 section 5.1). */
  readonly recordSize?: number
}

/** The names and protocols a ClientHello carries. */
export interface ClientHello {
  readonly names: readonly string[]
  readonly alpn: readonly string[]
}

const serverName = 0
const applicationProtocols = 16
const padding = 21

/**
 * Builds the records of a TLS 1.3 ClientHello (RFC 8446 section 4.1.2) whose key share is random: a server takes it for
 * real up to its own ServerHello, which is as far as a refusal has to come.
 */
export function buildClientHello(options: ClientHelloOptions = {}): Buffer {
  const extensions: (readonly [number, Uint8Array])[] = [
    [43, Buffer.from([2, 0x03, 0x04])], // supported_versions: TLS 1.3
    [10, vector(2, Buffer.from([0x00, 0x1d]))], // supported_groups: x25519
    [13, vector(2, Buffer.from([0x04, 0x03, 0x08, 0x04]))], // signature_algorithms: ECDSA P-256, RSA-PSS
    [51, vector(2, Buffer.from([0x00, 0x1d]), vector(2, randomBytes(32)))], // key_share
    ...(options.extensions ?? []),
  ]
  if (options.names) {
    const entries = options.names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))]))
    extensions.push([serverName, vector(2, ...entries)])
  }
  if (options.alpn) {
    extensions.push([applicationProtocols, vector(2, ...options.alpn.map((protocol) => vector(1, Buffer.from(protocol))))])
  }
  if (options.padding) extensions.push([padding, Buffer.alloc(options.padding)])
  const body = Buffer.concat([
    Buffer.from([0x03, 0x03]),
    randomBytes(32),
    vector(1, randomBytes(32)),
    vector(2, Buffer.from([0x13, 0x01, 0x13, 0x02, 0xc0, 0x2b])),
    vector(1, Buffer.from([0])),
    vector(2, ...extensions.map(([type, data]) => Buffer.concat([uint(2, type), vector(2, data)]))),
  ])
  const message = Buffer.concat([Buffer.from([1]), vector(3, body)])
  const size = options.recordSize ?? 16_384
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    records.push(Buffer.from([0x16, 0x03, 0x01]), vector(2, message.subarray(at, at + size)))
  }
  return Buffer.concat(records)
}

/** Reads the names and protocols out of the first record of a TLS connection; `undefined` when it is no ClientHello. */
export function readClientHello(bytes: Buffer): ClientHello | undefined {
  try {
    return readHello(bytes)
  } catch {
    // Read past the end: cut short, or not a ClientHello after all.
    return undefined
  }
}

function readHello(bytes: Buffer): ClientHello | undefined {
  if (bytes[0] !== 0x16 || bytes[5] !== 1) return undefined
  let at = 5 + 4 + 2 + 32 // record head, message head, version, random
  at += 1 + bytes.readUInt8(at) // session id
  at += 2 + bytes.readUInt16BE(at) // cipher suites
  at += 1 + bytes.readUInt8(at) // compression methods
  const end = at + 2 + bytes.readUInt16BE(at)
  const names: string[] = []
  const alpn: string[] = []
  for (at += 2; at < end; at += 4 + bytes.readUInt16BE(at + 2)) {
    const type = bytes.readUInt16BE(at)
    const data = bytes.subarray(at + 4, at + 4 + bytes.readUInt16BE(at + 2))
    if (type === serverName) {
      for (let i = 2; i < data.length; i += 3 + data.readUInt16BE(i + 1)) {
        names.push(data.toString('latin1', i + 3, i + 3 + data.readUInt16BE(i + 1)))
      }
    } else if (type === applicationProtocols) {
      for (let i = 2; i < data.length; i += 1 + data.readUInt8(i)) {
        alpn.push(data.toString('latin1', i + 1, i + 1 + data.readUInt8(i)))
      }
    }
  }
  return { names, alpn }
}

/** A vector of RFC 8446 section 3.4: its length in `width` bytes, then its content. */
function vector(width: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([uint(width, content.length), content])
}

function uint(width: number, value: number): Buffer {
  const bytes = Buffer.alloc(width)
  bytes.writeUIntBE(value, 0, width)
  return bytes
}
