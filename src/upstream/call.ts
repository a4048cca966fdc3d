import type { Clock } from '#base/clock.ts'
import { codeOf, ProxyError } from '#base/errors.ts'
import { Secret } from '#base/secret.ts'
import type { TokenCall, TokenEndpoint, TokenReply } from '#credentials/lease.ts'
import { headerValue } from '#journey/headers.ts'
import type { Audit, Ids, Outbound, ReplySink, RequestBody, Upstream } from '#journey/ports.ts'
import { settleOwn } from '#journey/settle.ts'
import type { RawHeaders } from '#journey/types.ts'

/** Bytes of a reply that is still a token reply, and milliseconds a token endpoint may take. */
const limits = { reply: 1 << 20, patience: 30_000 } as const

/**
 * The proxy's own calls to token endpoints. They take the way of everything else: the guarded dialer, the resolver, the
 * trust, and one audit record each.
 */
export class TokenCalls {
  readonly #upstream: Upstream
  readonly #audit: Audit
  readonly #ids: Ids
  readonly #clock: Clock

  constructor(ports: { readonly upstream: Upstream; readonly audit: Audit; readonly ids: Ids; readonly clock: Clock }) {
    this.#upstream = ports.upstream
    this.#audit = ports.audit
    this.#ids = ports.ids
    this.#clock = ports.clock
  }

  /** Throws `ProxyError` for what keeps a reply from coming: whether the call was acted upon is then unknown. */
  async call(credential: string, endpoint: TokenEndpoint, call: TokenCall): Promise<TokenReply> {
    const body = Buffer.from(call.body.expose())
    const out = outbound(endpoint, call, body.length)
    const { method, path } = out.head
    const own = settleOwn({ id: this.#ids.next(), credential, endpoint, method, path }, this.#clock)
    const reply = new Collected()
    const stop = new AbortController()
    const calledOff = this.#clock.later(limits.patience, () => stop.abort())
    try {
      const sent = await this.#upstream.send(out, bodyOf(body), reply, stop.signal)
      this.#audit.write(own({ status: reply.status, upstream: sent.address, bytesUp: body.length, bytesDown: reply.size }))
      return reply.read(credential)
    } catch (error) {
      const code = stop.signal.aborted ? 'upstream_timeout' : codeOf(error)
      this.#audit.write(own({ code, bytesUp: body.length, bytesDown: reply.size }))
      throw error instanceof ProxyError && !stop.signal.aborted ? error : new ProxyError(code, undefined, { cause: error })
    } finally {
      calledOff()
    }
  }
}

function outbound({ host, port }: TokenEndpoint, { method, path, headers }: TokenCall, length: number): Outbound {
  const mark = path.indexOf('?')
  return {
    head: {
      scheme: 'https',
      host,
      port,
      method,
      path: mark < 0 ? path : path.slice(0, mark),
      query: mark < 0 ? '' : path.slice(mark),
      headers: [],
    },
    headers: ['host', port === 443 ? host : `${host}:${port}`, ...headers, 'content-length', String(length)],
    // Connections for tokens carry nothing else.
    credentials: ['token endpoint'],
    decode: true,
    upgrade: false,
  }
}

function bodyOf(bytes: Buffer): RequestBody {
  async function* once(): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  return { chunks: once(), length: bytes.length, trailers: () => [] }
}

/** A reply kept whole, up to the limit. */
class Collected implements ReplySink {
  onDrain: () => void = () => {}
  status = 0
  size = 0
  #headers: RawHeaders = []
  readonly #chunks: Uint8Array[] = []

  informational(): void {}

  head(status: number, headers: RawHeaders): void {
    this.status = status
    this.#headers = headers
  }

  data(chunk: Uint8Array): boolean {
    this.size += chunk.length
    if (this.size > limits.reply) throw new ProxyError('upstream_protocol', 'the token endpoint’s reply is too long')
    this.#chunks.push(Uint8Array.from(chunk))
    return true
  }

  end(): void {}

  read(credential: string): TokenReply {
    const date = Date.parse(headerValue(this.#headers, 'date') ?? '')
    const after = Number(headerValue(this.#headers, 'retry-after'))
    return {
      status: this.status,
      contentType: headerValue(this.#headers, 'content-type') ?? '',
      body: new Secret(`token reply for ${credential}`, Buffer.concat(this.#chunks).toString('utf8')),
      serverTime: Number.isNaN(date) ? undefined : date,
      retryAfter: Number.isFinite(after) && after > 0 ? after * 1000 : undefined,
    }
  }
}
