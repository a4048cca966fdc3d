import { createServer } from 'node:tls'
import type { SecureContext, Server, TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import { Cancellation } from '#base/async.ts'
import type { ErrorCode } from '#base/errors.ts'
import { codeOf } from '#base/errors.ts'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import type { Ports } from '#journey/ports.ts'
import { judgeTunnel, recordBroken } from '#journey/tunnel.ts'
import type { Tunnel, TunnelRefusal } from '#journey/tunnel.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import { remember } from './connection.ts'
import type { Connection } from './connection.ts'
import { Handshakes } from './handshakes.ts'
import { costs } from './peers.ts'
import type { Peers } from './peers.ts'
import { sniff } from './sniff.ts'
import { splice } from './splice.ts'

/** Certificates by name; the decision comes before the minting. */
export interface Leaves {
  /** Makes one for a name the policy lets this agent reach. */
  contextFor(host: Host): SecureContext
  /** Makes one for a denied name; `undefined`: this agent has caused too many, close the connection. */
  contextForDenied(host: Host, agent: string): SecureContext | undefined
}

export interface TlsOptions {
  readonly ports: Ports
  readonly leaves: Leaves
  readonly peers: Peers
  /** Milliseconds for the ClientHello, and again for the rest of the handshake. */
  readonly handshakeTimeout: number
  serve(socket: TLSSocket, protocol: 'h1' | 'h2'): void
}

/** What a door knows before TLS: no name yet, or the one of the CONNECT around it. */
export type BeforeTls = Omit<Connection, 'scheme' | 'bound'> & {
  readonly tunnel?: { readonly host: Host; readonly port: number }
}

/** TLS towards agents: reads the name, asks the policy, and only then shows a certificate. */
export class TlsFront {
  readonly #options: TlsOptions
  readonly #server: Server
  /** Connections on their way through the handshake, by the four numbers that name a TCP connection. */
  readonly #handshaking = new Map<string, { readonly connection: Connection; readonly place: Disposable }>()
  readonly #handshakes: Handshakes

  constructor(options: TlsOptions) {
    this.#options = options
    this.#handshakes = new Handshakes(options.ports.memory)
    this.#server = createServer({
      ALPNCallback: ({ servername, protocols }) => this.#protocol(servername, protocols),
      handshakeTimeout: options.handshakeTimeout,
    })
    this.#server.on('secureConnection', (socket) => this.#established(socket))
    this.#server.on('tlsClientError', (error, socket) => this.#failed(error, socket))
  }

  /** May a denied name be greeted, so that its client reads why? `false`: its agent has asked for too many. */
  mayGreet(host: Host, { agent }: TunnelRefusal, { peer }: Pick<Connection, 'peer'>): boolean {
    try {
      return this.#options.leaves.contextForDenied(host, agent ?? peer.address) !== undefined
    } catch {
      // No certificate can be made (`ca_expired`): the client reads a refused CONNECT, which is better than a reset.
      return false
    }
  }

  /** Takes over a connection whose next bytes should be a ClientHello. Never rejects. */
  async accept(socket: Socket, before: BeforeTls): Promise<void> {
    const first = await sniff(socket, this.#options.handshakeTimeout)
    if (first.kind === 'gone') return this.#left(socket, before, first.began ? 'the client left in its ClientHello' : undefined)
    if (socket.destroyed) return
    if (first.kind !== 'hello') return this.#refuse(socket, before, 'tls_not_tls', first.kind)
    if (!first.serverName) return this.#refuse(socket, before, 'tls_no_sni')
    const host = parseHost(first.serverName)
    if (!host) return this.#refuse(socket, before, 'tls_bad_sni')
    const { tunnel } = before
    if (tunnel && tunnel.host !== host) return this.#refuse(socket, before, 'tls_sni_mismatch', `the name is ${host}`, host)
    try {
      await this.#route(socket, before, host)
    } catch (error) {
      this.#refuse(socket, before, codeOf(error), 'no certificate could be made', host)
    }
  }

  async #route(socket: Socket, before: BeforeTls, host: Host): Promise<void> {
    const { leaves, ports } = this.#options
    const bound = { host, port: before.tunnel?.port ?? 443 }
    if (before.tunnel) {
      const { refusal, peer } = before
      const context = refusal ? leaves.contextForDenied(host, refusal.agent ?? peer.address) : leaves.contextFor(host)
      if (!context) return this.#refuse(socket, before, 'tls_denied_flood', 'too many denied names', host)
      return this.#shake(socket, { ...before, scheme: 'https', bound }, context)
    }
    const pass = judgeTunnel({ kind: 'tunnel', ...before, target: { scheme: 'https', ...bound } }, ports)
    switch (pass.kind) {
      case 'splice':
        return this.relay(socket, pass.tunnel, bound)
      case 'inspect':
        return this.#shake(socket, { ...before, scheme: 'https', bound }, leaves.contextFor(host))
      case 'deny': {
        // The handshake is completed all the same, so that the client reads a 403 and not a reset.
        const context = leaves.contextForDenied(host, pass.agent ?? before.peer.address)
        if (context) return this.#shake(socket, { ...before, scheme: 'https', bound }, context)
        return this.#refuse(socket, before, 'tls_denied_flood', pass.denial.reason, host)
      }
      default:
        return pass satisfies never
    }
  }

  /** Passes a TLS connection through unopened (`inspect: false`). */
  async relay(socket: Socket, tunnel: Tunnel, target: { readonly host: Host; readonly port: number }): Promise<void> {
    const cut = new Cancellation<CutBy>()
    const leave = tunnel.live(cut)
    tunnel.open()
    try {
      const upstream = (await this.#options.ports.upstream.connect(target, cut.signal)) as Socket
      const address = `${upstream.remoteAddress}:${upstream.remotePort}`
      const relayed = await splice(socket, upstream, cut.signal)
      tunnel.close(cut.by ? { kind: 'aborted', by: cut.by } : { kind: 'replied' }, relayed, address)
    } catch (error) {
      socket.destroy()
      tunnel.close({ kind: 'failed', code: codeOf(error) }, { bytesUp: 0, bytesDown: 0 })
    } finally {
      leave()
    }
  }

  /** `context`: of the name in the ClientHello. OpenSSL looks for a session to resume before it asks for a certificate. */
  #shake(socket: Socket, connection: Connection, context: SecureContext): void {
    const key = fourTuple(socket)
    socket.once('close', () => {
      if (this.#take(key)) this.#left(socket, connection, leftInHandshake)
    })
    this.#handshakes.enter(connection.peer.address, socket, (place) => {
      this.#handshaking.set(key, { connection, place })
      // Read by Node at once, for this connection alone.
      Object.assign(this.#server, { [contextOfServer]: context })
      this.#server.emit('connection', socket)
    })
  }

  #established(socket: TLSSocket): void {
    const connection = this.#take(fourTuple(socket))
    if (!connection) return void socket.destroy()
    remember(socket, connection)
    this.#options.serve(socket, socket.alpnProtocol === 'h2' ? 'h2' : 'h1')
  }

  #failed(error: Error, socket: TLSSocket): void {
    const connection = this.#take(fourTuple(socket))
    if (!connection) return
    const reason = handshakeReason(error)
    if (reason === 'closed') return this.#left(socket, connection, leftInHandshake)
    this.#refuse(socket, connection, 'tls_handshake', reason, connection.bound?.host)
  }

  /**
   * HTTP/2 where the client offers it, but not for git: libcurl 7.88 under git 2.39 was seen to hang in one of ten pushes
   * over HTTP/2, with and without a proxy, and git gains nothing from it.
   */
  #protocol(serverName: string, offered: readonly string[]): string | undefined {
    const host = parseHost(serverName)
    const git =
      host &&
      this.#options.ports.policies
        .current()
        ?.policy.rulesFor(host)
        .some((rule) => rule.git)
    return (git ? ['http/1.1'] : ['h2', 'http/1.1']).find((protocol) => offered.includes(protocol))
  }

  #take(key: string): Connection | undefined {
    const known = this.#handshaking.get(key)
    this.#handshaking.delete(key)
    known?.place[Symbol.dispose]()
    return known?.connection
  }

  #refuse(
    socket: Socket,
    { door, peer, parent, proxyAuth, refusal }: BeforeTls,
    code: ErrorCode,
    detail: string = code,
    host?: Host,
  ): void {
    this.#options.peers.charge(peer.address, costs.brokenHandshake)
    if (refusal) refusal.deny()
    else recordBroken({ kind: 'broken', door, peer, parent, proxyAuth, code, detail, protocol: 'tls', host }, this.#options.ports)
    socket.destroy()
  }

  /** A client that goes away was denied nothing. Without a reason it leaves no record: it had not begun. */
  #left(socket: Socket, before: BeforeTls & Partial<Pick<Connection, 'bound'>>, reason: string | undefined): void {
    if (reason === undefined) return void socket.destroy()
    this.#refuse(socket, before, 'client_closed', reason, before.bound?.host)
  }
}

/** Node, for one, sends no alert when it does not trust a certificate. */
const leftInHandshake = 'the client left in the TLS handshake; it may not trust the CA'

/**
 * Where Node 26 keeps the context that a server begins each handshake with. SNICallback changes it only after a session
 * was resumed or not. Sessions are bound to names by their context, so it has to be the right one from the start; there is
 * no public way to say so.
 */
const contextOfServer = '_sharedCreds'

/** A TLS socket and the TCP socket under it have these in common; nothing public leads from one to the other. */
function fourTuple(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`
}

/** The client's alert or our library's complaint, in a bounded vocabulary. */
function handshakeReason(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (code.includes('UNKNOWN_CA') || code.includes('CERTIFICATE_UNKNOWN') || code.includes('BAD_CERTIFICATE')) return 'unknown_ca'
  if (code.includes('CERTIFICATE_EXPIRED')) return 'expired'
  if (code.includes('NO_APPLICATION_PROTOCOL')) return 'no_common_protocol'
  if (code.includes('PROTOCOL') || code.includes('VERSION')) return 'protocol'
  if (code === 'ECONNRESET') return 'closed'
  return 'other'
}
