import { ProxyError } from '#base/errors.ts'
import type { AwsSigner } from './signer.ts'

/** A body in signed chunks: each signature covers its chunk and the signature before it. */
export interface ChunkSigning {
  /** The chunks are followed by trailer fields, which are signed too. */
  readonly trailer: boolean
}

/** What a value of X-Amz-Content-Sha256 says about chunks; `undefined`: there are none that are signed. */
export function chunkSigning(declared: string): ChunkSigning | undefined {
  if (declared === 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD') return { trailer: false }
  if (declared === 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER') return { trailer: true }
  return undefined
}

/** Bytes of `size;chunk-signature=…`, and of all trailer fields together. */
const mostLine = 256
const mostTrailer = 16 * 1024

/** What of a signer this takes. */
type Signer = Pick<AwsSigner, 'time' | 'scope' | 'signText' | 'sha256'>

/**
 * Signs the chunks of an `aws-chunked` body anew as they come, one held at a time; `seed` is the signature of the request.
 * Nothing changes its length. Throws `malformed_request` for what is not in this coding, `body_too_large` for a chunk of
 * more than `most` bytes. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 */
export async function* resignChunks(
  body: AsyncIterable<Uint8Array>,
  { trailer, seed, most }: ChunkSigning & { readonly seed: string; readonly most: number },
  signer: Signer,
): AsyncGenerator<Uint8Array> {
  const nothing = signer.sha256(new Uint8Array(0))
  const source = body[Symbol.asyncIterator]()
  const reader = new Reader(source)
  let signature = seed
  try {
    for (let size = -1; size !== 0;) {
      const [, hex = broken('a chunk does not begin as a signed chunk does')] = chunkLine.exec(await reader.line()) ?? []
      size = Number.parseInt(hex, 16)
      if (size > most) throw new ProxyError('body_too_large', `a signed chunk has more than ${most} bytes; send smaller chunks`)
      const data = await reader.exactly(size)
      signature = await signed('PAYLOAD', [signature, nothing, signer.sha256(data)], signer)
      yield Buffer.concat([Buffer.from(`${hex};chunk-signature=${signature}\r\n`), data])
      if (size > 0) yield await lineEnd(reader)
    }
    const rest = (await reader.rest(trailer ? mostTrailer : 2)).toString('latin1')
    if (!trailer && rest !== '\r\n') broken('something follows its last chunk')
    yield Buffer.from(trailer ? await resignTrailer(rest, signature, signer) : rest, 'latin1')
  } finally {
    await source.return?.()
  }
}

const chunkLine = /^([0-9a-fA-F]{1,8});chunk-signature=[0-9a-f]{64}$/

async function lineEnd(reader: Reader): Promise<Buffer> {
  const bytes = await reader.exactly(2)
  return bytes.toString('latin1') === '\r\n' ? bytes : broken('a chunk is longer than it says')
}

/**
 * The trailer with a signature of ours as its last field. What is signed has a bare line feed after each field, whatever
 * is sent. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 */
async function resignTrailer(sent: string, signature: string, signer: Signer): Promise<string> {
  const fields = sent.split(/\r?\n/).filter((line) => line !== '')
  const last = fields.pop() ?? ''
  if (!/^x-amz-trailer-signature:[0-9a-f]{64}$/i.test(last)) return broken('its trailer is not signed')
  const content = Buffer.from(fields.map((field) => `${field}\n`).join(''), 'latin1')
  const written = await signed('TRAILER', [signature, signer.sha256(content)], signer)
  const at = sent.lastIndexOf(last) + last.length
  return sent.slice(0, at - written.length) + written + sent.slice(at)
}

function signed(what: 'PAYLOAD' | 'TRAILER', parts: readonly string[], { time, scope, signText }: Signer): Promise<string> {
  return signText([`AWS4-HMAC-SHA256-${what}`, time, scope, ...parts].join('\n'))
}

function broken(what: string): never {
  throw new ProxyError('malformed_request', `the body is not as x-amz-content-sha256 says: ${what}`)
}

/** Reads a stream of bytes in lines and lengths, and holds no more than is asked for and one piece of it. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>
  #held: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source
  }

  /** Up to the next line end, and without it. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#held.indexOf('\r\n')
      if (end >= 0 && end <= mostLine) return this.#take(end + 2).toString('latin1', 0, end)
      if (this.#held.length > mostLine) broken('a chunk does not begin as a signed chunk does')
      const piece = await this.#next()
      if (!piece) return broken('it ends early')
      this.#held = Buffer.concat([this.#held, piece])
    }
  }

  async exactly(size: number): Promise<Buffer> {
    const pieces = [this.#held]
    let length = this.#held.length
    while (length < size) {
      const piece = await this.#next()
      if (!piece) return broken('it ends early')
      pieces.push(piece)
      length += piece.length
    }
    if (pieces.length > 1) this.#held = Buffer.concat(pieces, length)
    return this.#take(size)
  }

  /** Everything to the end, which must not be more than so many bytes. */
  async rest(most: number): Promise<Buffer> {
    for (;;) {
      if (this.#held.length > most) broken('too much follows its last chunk')
      const piece = await this.#next()
      if (!piece) return this.#take(this.#held.length)
      this.#held = Buffer.concat([this.#held, piece])
    }
  }

  async #next(): Promise<Buffer | undefined> {
    const { done, value } = await this.#source.next()
    return done ? undefined : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }

  #take(size: number): Buffer {
    const taken = this.#held.subarray(0, size)
    this.#held = this.#held.subarray(size)
    return taken
  }
}
