/** One HTTP/1.1 reply as it stood on the wire; header names as they were written. */
export interface RawReply {
  readonly version: string
  readonly status: number
  readonly reason: string
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** Raw trailers of a chunked body. */
  readonly rawTrailers: readonly string[]
  /** Whether the body came to its declared end. */
  readonly complete: boolean
}

/**
 * Cuts bytes into HTTP/1.1 replies (RFC 9112 section 6.3). `methods` are those of the requests in order, since a reply to
 * HEAD has no body. A body without a length runs to the end of the bytes. Bytes that are no reply are left out.
 */
export function parseReplies(bytes: Buffer, methods: readonly string[] = []): readonly RawReply[] {
  const replies: RawReply[] = []
  let answered = 0
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) break
    const [first = '', ...lines] = bytes.toString('latin1', at, end).split('\r\n')
    const start = /^(HTTP\/\d\.\d) (\d{3}) ?(.*)$/.exec(first)
    if (!start) break
    const status = Number(start[2])
    const rawHeaders = lines.flatMap(splitField)
    const bodiless = status < 200 || status === 204 || status === 304 || methods[answered] === 'HEAD'
    const content = bodiless ? nothing(end + 4) : readBody(bytes, end + 4, rawHeaders)
    replies.push({ version: start[1] ?? '', status, reason: start[3] ?? '', rawHeaders, ...content.part })
    if (status >= 200) answered++
    at = content.next
  }
  return replies
}

/** Answers whether the bytes hold `count` whole final replies: to read until they do. */
export function repliesOf(count: number, methods: readonly string[] = []): (received: Buffer) => boolean {
  return (received) => {
    const final = parseReplies(received, methods).filter((reply) => reply.status >= 200)
    return final.length >= count && final.every((reply) => reply.complete)
  }
}

interface Content {
  readonly part: Pick<RawReply, 'body' | 'rawTrailers' | 'complete'>
  readonly next: number
}

function nothing(next: number): Content {
  return { part: { body: Buffer.alloc(0), rawTrailers: [], complete: true }, next }
}

function readBody(bytes: Buffer, at: number, rawHeaders: readonly string[]): Content {
  const field = (name: string): string | undefined =>
    rawHeaders[rawHeaders.findIndex((v, i) => i % 2 === 0 && v.toLowerCase() === name) + 1 || -1]
  if (/chunked/i.test(field('transfer-encoding') ?? '')) return readChunked(bytes, at)
  const declared = field('content-length')
  const length = declared === undefined ? bytes.length - at : Number(declared)
  const body = bytes.subarray(at, at + length)
  return { part: { body, rawTrailers: [], complete: declared !== undefined && body.length === length }, next: at + length }
}

function readChunked(bytes: Buffer, from: number): Content {
  const chunks: Buffer[] = []
  let at = from
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    const size = line < 0 ? NaN : parseInt(bytes.toString('latin1', at, line), 16)
    if (Number.isNaN(size)) break
    if (size === 0) {
      const end = bytes.indexOf('\r\n\r\n', line)
      if (end < 0) break
      const trailers = bytes.toString('latin1', line + 2, Math.max(line + 2, end))
      const rawTrailers = trailers ? trailers.split('\r\n').flatMap(splitField) : []
      return { part: { body: Buffer.concat(chunks), rawTrailers, complete: true }, next: end + 4 }
    }
    chunks.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return { part: { body: Buffer.concat(chunks), rawTrailers: [], complete: false }, next: bytes.length }
}

function splitField(line: string): readonly string[] {
  const colon = line.indexOf(':')
  return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()]
}
