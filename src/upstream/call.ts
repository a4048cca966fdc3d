import type { Clock } from '#base/clock.ts'
import { codeOf, ProxyError } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import type { TokenCall, TokenEndpoint, TokenReply } from '#credentials/lease.ts'
import type { WhoamiQuestion, WhoamiReply } from '#credentials/whoami/types.ts'
import { headerValue } from '#journey/headers.ts'
import type { Audit, Ids } from '#contracts/audit-record.ts'
import type { Outbound, Upstream } from '#contracts/upstream.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import type { TokenCaller, WhoamiAsker } from '#contracts/calls.ts'
import { settleOwn } from '#journey/settle.ts'

/** Bytes of a reply that is still one, and milliseconds it may take: a token that is lost is worse than a name. */
const limits = { reply: 1 << 20, token: 30_000, whoami: 10_000, moment: 250 } as const

/**
 * The proxy's own calls: to token endpoints, and to those who say whose a value is. They take the way of everything else:
 * the guarded dialer, the resolver, the trust, and one audit record each.
 */
export class OwnCalls implements TokenCaller, WhoamiAsker {
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
    const headers = [...call.headers, 'content-length', String(body.length)]
    // Connections for tokens carry nothing else.
    const out = outbound(endpoint, { method: call.method, path: call.path, headers }, 'token endpoint')
    return (await this.#make(credential, out, body, limits.token)).read(credential)
  }

  /** Throws `ProxyError` for what keeps a reply from coming. */
  async ask(credential: string, host: Host, { path, headers }: WhoamiQuestion): Promise<WhoamiReply> {
    const call = { method: 'GET', path, headers: ['user-agent', 'iron-proxy', ...headers] }
    return (await this.#make(credential, outbound({ host, port: 443 }, call, 'whoami'), undefined, limits.whoami)).told()
  }

  async #make(credential: string, out: Outbound, body: Buffer | undefined, patience: number): Promise<Collected> {
    const { method, host, port, path } = out.head
    const own = settleOwn({ id: this.#ids.next(), credential, endpoint: { host, port }, method, path }, this.#clock)
    const reply = new Collected()
    const bytesUp = body?.length ?? 0
    const stop = new AbortController()
    const calledOff = patiently(this.#clock, patience, () => stop.abort())
    try {
      const sent = await this.#upstream.send(out, body && bodyOf(body), reply, stop.signal)
      this.#audit.write(own({ status: reply.status, upstream: sent.address, bytesUp, bytesDown: reply.size }))
      return reply
    } catch (error) {
      const code = stop.signal.aborted ? 'upstream_timeout' : codeOf(error)
      this.#audit.write(own({ code, bytesUp, bytesDown: reply.size }))
      throw error instanceof ProxyError && !stop.signal.aborted ? error : new ProxyError(code, undefined, { cause: error })
    } finally {
      calledOff()
    }
  }
}

/**
 * Calls back after so many milliseconds and a moment. A process that was stopped finds its timers due before it has read what came
 * meanwhile, which may be the only copy of a pair.
 */
function patiently(clock: Clock, milliseconds: number, act: () => void): () => void {
  let calledOff = clock.later(milliseconds, () => {
    calledOff = clock.later(limits.moment, act)
  })
  return () => calledOff()
}

function outbound(
  { host, port }: Pick<TokenEndpoint, 'host' | 'port'>,
  { method, path, headers }: { readonly method: string; readonly path: string; readonly headers: readonly string[] },
  purpose: string,
): Outbound {
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
    agent: undefined,
    headers: ['host', port === 443 ? host : `${host}:${port}`, ...headers],
    credentials: [purpose],
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
    if (this.size > limits.reply) throw new ProxyError('upstream_protocol', 'the reply is too long')
    this.#chunks.push(Uint8Array.from(chunk))
    return true
  }

  end(): void {}

  told(): WhoamiReply {
    const header = (name: string): string | undefined => headerValue(this.#headers, name)
    return { status: this.status, header, body: Buffer.concat(this.#chunks).toString('utf8') }
  }

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
