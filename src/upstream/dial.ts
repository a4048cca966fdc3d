import { connect as connectTcp, isIPv6 } from 'node:net'
import type { LookupFunction, Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, createSecureContext, rootCertificates } from 'node:tls'
import type { SecureContext, TLSSocket } from 'node:tls'
import type { Address, Cidr } from '#base/address.ts'
import { LruMap } from '#base/async.ts'
import type { StopSignal } from '#base/async.ts'
import { withoutCommonName } from '#base/certificate-name.ts'
import { ProxyError } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import { permitted } from './guard.ts'
import type { OwnSockets } from './guard.ts'
import type { Resolve } from './resolve.ts'

export interface DialOptions {
  readonly resolve: Resolve
  /** Fixed addresses by name. What an operator wrote down may be dialled, whatever its class. */
  readonly hosts: ReadonlyMap<Host, { readonly address: Address; readonly port: number | undefined }>
  readonly allowPrivate: readonly Cidr[]
  readonly own: OwnSockets
  /** PEM roots trusted besides the public ones. */
  readonly extraRoots: readonly string[]
  /** Milliseconds until a TCP connection and until a TLS session must stand. */
  readonly connectTimeout: number
}

export interface Destination {
  readonly host: Host
  readonly port: number
}

/** Opens checked connections: the address that is checked is the address that is dialled; there is no second lookup. */
export class Dialer {
  readonly #options: DialOptions
  readonly #sessions = new LruMap<string, Buffer>(1000)
  #trust: SecureContext | undefined

  constructor(options: DialOptions) {
    this.#options = options
  }

  /** A TCP connection. Throws `ProxyError` with the code of what failed. */
  async tcp({ host, port }: Destination, signal?: StopSignal): Promise<Socket> {
    const fixed = this.#options.hosts.get(host)
    const dialled = fixed?.port ?? port
    const addresses = fixed
      ? this.#ownerChosen(fixed.address, dialled)
      : permitted(await this.#options.resolve(host), dialled, this.#options)
    return this.#open(host, addresses, dialled, signal)
  }

  /**
   * A TLS session whose certificate was verified for the host, offering the given protocols by ALPN (RFC 7301).
   * `servername` is never another name than the one that was decided on.
   */
  async tls(destination: Destination, alpn: readonly string[], signal?: StopSignal): Promise<TLSSocket> {
    const socket = await this.tcp(destination, signal)
    const key = `${destination.host}:${destination.port}/${alpn.join()}`
    const session = this.#sessions.get(key)
    const secure = connectTls({
      socket,
      servername: destination.host,
      ALPNProtocols: alpnWire(alpn),
      // Said outright, since NODE_TLS_REJECT_UNAUTHORIZED=0 would turn the default around.
      rejectUnauthorized: true,
      checkServerIdentity: (host, certificate) => checkServerIdentity(host, withoutCommonName(certificate)),
      // One context for all: a context per connection costs 140 µs and is freed only by the garbage collector.
      secureContext: (this.#trust ??= createSecureContext({
        minVersion: 'TLSv1.2',
        ca: [...rootCertificates, ...this.#options.extraRoots],
      })),
      ...(session ? { session } : {}),
    })
    secure.on('session', (ticket: Buffer) => this.#sessions.set(key, ticket))
    await settled(secure, 'secureConnect', this.#options.connectTimeout, 'upstream_connect_timeout', tlsError, signal)
    return secure
  }

  #ownerChosen(address: Address, port: number): readonly Address[] {
    if (this.#options.own.has(address, port)) throw new ProxyError('proxy_loop')
    return [address]
  }

  async #open(host: Host, addresses: readonly Address[], port: number, signal?: StopSignal): Promise<Socket> {
    signal?.throwIfAborted()
    const lookup: LookupFunction = (_name, _options, done) =>
      done(
        null,
        addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 })),
      )
    const socket = connectTcp({ host, port, lookup, noDelay: true, keepAlive: true, autoSelectFamily: true })
    await settled(socket, 'connect', this.#options.connectTimeout, 'upstream_connect_timeout', tcpError, signal)
    return socket
  }
}

/** As TLS writes it (RFC 7301 section 3.1), in memory of its own: Node would take it from a slab that the connection then holds. */
function alpnWire(protocols: readonly string[]): Uint8Array {
  return Uint8Array.from(protocols.flatMap((protocol) => [protocol.length, ...Buffer.from(protocol, 'latin1')]))
}

/** Waits for `event`; on error, deadline or cancellation the socket is destroyed and a coded error thrown. */
function settled(
  socket: Socket,
  event: string,
  milliseconds: number,
  late: ProxyError['code'],
  coded: (error: Error) => ProxyError,
  signal?: StopSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: ProxyError) => {
      clearTimeout(timer)
      socket.off(event, done).off('error', failed).off('close', closed)
      signal?.removeEventListener('abort', cancelled)
      if (!error) return resolve()
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const done = () => finish()
    const failed = (error: Error) => finish(coded(error))
    const closed = () => finish(new ProxyError('upstream_reset', 'the host closed the connection before it was ready'))
    const cancelled = () => finish(new ProxyError('client_closed'))
    const timer = setTimeout(() => finish(new ProxyError(late)), milliseconds)
    socket.once(event, done).once('error', failed).once('close', closed)
    if (signal?.aborted) return cancelled()
    signal?.addEventListener('abort', cancelled, { once: true })
  })
}

function tcpError(cause: Error): ProxyError {
  const code = (cause as NodeJS.ErrnoException).code
  return new ProxyError(code === 'ETIMEDOUT' ? 'upstream_connect_timeout' : 'upstream_unreachable', undefined, { cause })
}

/** Alert 120: the host speaks none of the protocols we offered (RFC 7301 section 3.2). */
export function refusedAlpn(error: unknown): boolean {
  const cause = error instanceof ProxyError ? error.cause : error
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'
}

function tlsError(cause: Error): ProxyError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  if (code === 'ECONNRESET' || code === 'EPIPE') return new ProxyError('upstream_reset', undefined, { cause })
  if (refusedAlpn(cause)) return new ProxyError('upstream_protocol', 'the host speaks no protocol we offered', { cause })
  return new ProxyError('upstream_tls', `the host’s certificate could not be verified (${code})`, { cause })
}
