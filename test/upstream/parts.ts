import { MemoryAccount } from '#base/memory-account.ts'
import { parseCidr } from '#base/address.ts'
import type { Cidr } from '#base/address.ts'
import type { Outbound, Sent } from '#contracts/upstream.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import type { DialOptions } from '#upstream/dial.ts'
import { Sender } from '#upstream/send.ts'
import { addressOf, headOf } from '../journey/parts.ts'
import { testAuthority } from '../kit/ca.ts'
import { hostOf } from '../kit/policy.ts'

/** A range, for `allowPrivate`. */
export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text)
  if (!cidr) throw new Error(`not a range: ${text}`)
  return cidr
}

/** Names that lead to a port of this machine, over TLS that is trusted; nothing is resolved. */
export function dialing(port: number, some: Partial<DialOptions> = {}): DialOptions {
  const loopback = { address: addressOf('127.0.0.1'), port }
  return {
    resolve: () => Promise.reject(new Error('nothing is to be resolved')),
    hosts: new Map(['good.test', 'other.test'].map((name) => [hostOf(name), loopback])),
    allowPrivate: [],
    own: { has: () => false },
    extraRoots: [testAuthority().certPem],
    connectTimeout: 1000,
    ...some,
  }
}

export class Sink implements ReplySink {
  onDrain: () => void = () => {}
  ready = true
  status: number | undefined
  headers: RawHeaders = []
  trailers: RawHeaders | undefined
  readonly interim: number[] = []
  readonly chunks: Buffer[] = []

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  informational(status: number): void {
    this.interim.push(status)
  }

  head(status: number, headers: RawHeaders): void {
    this.status = status
    this.headers = headers
  }

  data(chunk: Uint8Array): boolean {
    this.chunks.push(Buffer.from(chunk))
    return this.ready
  }

  end(trailers: RawHeaders): void {
    this.trailers = trailers
  }
}

export function outboundOf(some: Parameters<typeof headOf>[0] = {}, more: Partial<Outbound> = {}): Outbound {
  const head = headOf(some)
  return { head, headers: ['host', head.host, ...head.headers], credentials: [], decode: false, upgrade: false, ...more }
}

export interface Got extends Sent {
  readonly sink: Sink
}

/** Sends one request and answers what came back, or the code of what failed. */
export async function got(
  sender: Sender,
  outbound: Outbound = outboundOf(),
  body?: RequestBody,
  signal = new AbortController().signal,
): Promise<Got & { readonly code?: string }> {
  const sink = new Sink()
  try {
    return { ...(await sender.send(outbound, body, sink, signal)), sink }
  } catch (error) {
    return { address: '', sink, code: (error as { code?: string }).code ?? String(error) }
  }
}

/** A sender that is closed with the test. */
export function sender(options: DialOptions, memory = new MemoryAccount({ bytes: 256 << 20 })): Sender & AsyncDisposable {
  const made = new Sender(options, memory)
  return Object.assign(made, { [Symbol.asyncDispose]: () => made.close() })
}
