import type { Socket } from 'node:net'
import type { ErrorCode } from '#base/errors.ts'
import { parseAuthority } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import type { Ports } from '#journey/ports.ts'
import type { RefusalReply } from '#journey/respond.ts'
import { judgeTunnel, recordBroken, TunnelRefusal } from '#journey/tunnel.ts'
import type { Tunnel } from '#journey/tunnel.ts'
import type { TunnelArrival } from '#contracts/request.ts'
import type { WireRequestHead } from '#wire/types.ts'
import { joinHead, replyHeadText } from '#wire/write.ts'
import { remember } from './connection.ts'
import type { Connection } from './connection.ts'
import { readConnect } from './head.ts'
import { sniff } from './sniff.ts'
import type { TlsFront } from './tls.ts'

export interface ConnectOptions {
  readonly ports: Ports
  readonly tls: TlsFront
  /** Milliseconds until the first bytes inside the tunnel must be there. */
  readonly firstBytes: number
  servePlain(socket: Socket): void
}

const established = 'HTTP/1.1 200 Connection established\r\n\r\n'

/**
 * The explicit proxy's CONNECT (RFC 9110 section 9.3.6). Decided before the 200; what comes inside goes through the same
 * code as at every other door. Before the 200 only that is refused which cannot be a tunnel: a malformed CONNECT, one that
 * lacks its password (407), and denied names past the allowance of certificates. Never rejects.
 */
export async function acceptConnect(
  head: WireRequestHead,
  socket: Socket,
  connection: Connection,
  options: ConnectOptions,
): Promise<void> {
  if (connection.door !== 'proxy' || connection.bound) {
    return refuse(socket, broken(connection, 'method_not_allowed', 'CONNECT belongs to the explicit proxy', options))
  }
  const read = readConnect({ version: head.version, method: 'CONNECT', target: head.target, headers: head.fields })
  if (read.kind === 'refused') return refuse(socket, broken(connection, read.code, read.detail, options))
  const authority = parseAuthority(head.target)
  if (!authority?.port) return refuse(socket, broken(connection, 'bad_host', 'CONNECT needs a DNS name and a port', options))

  const target = { host: authority.host, port: authority.port }
  const arrival: TunnelArrival = {
    kind: 'tunnel',
    door: connection.door,
    peer: connection.peer,
    proxyAuth: read.proxyAuth,
    target: { scheme: target.port === 80 ? 'http' : 'https', ...target },
  }
  const pass = judgeTunnel(arrival, options.ports)
  const inside = { ...connection, proxyAuth: read.proxyAuth, parent: pass.tunnel.id }
  if (pass.kind === 'deny') {
    const refusal = new TunnelRefusal(pass)
    const opens =
      pass.denial.code !== 'proxy_auth_required' && (target.port === 80 || options.tls.mayGreet(target.host, refusal, inside))
    return opens ? refuseInside(socket, { ...inside, refusal }, target, options) : refuse(socket, refusal.deny())
  }

  socket.write(established)
  if (pass.kind === 'splice') return spliceInside(socket, inside, target, pass.tunnel, options)

  opened(socket, pass.tunnel)
  if (target.port === 80) return plainInside(socket, { ...inside, scheme: 'http', bound: target }, options)
  return options.tls.accept(socket, { ...inside, tunnel: target })
}

/** Opens a denied tunnel and refuses what comes inside, in TLS or plain, where its client reads it. */
async function refuseInside(
  socket: Socket,
  connection: Connection & { readonly refusal: TunnelRefusal },
  target: Place,
  options: ConnectOptions,
): Promise<void> {
  const { refusal } = connection
  socket.once('close', () => refusal.deny())
  socket.write(established)
  const first = await sniff(socket, options.firstBytes)
  if (socket.destroyed) return
  if (first.kind === 'hello') return options.tls.accept(socket, { ...connection, tunnel: target })
  if (first.kind !== 'http') return refuse(socket, refusal.deny())
  remember(socket, { ...connection, scheme: 'http', bound: target })
  options.servePlain(socket)
}

/** An unopened tunnel still has to be TLS for the name it was opened for: else any name would do behind an allowed one. */
async function spliceInside(
  socket: Socket,
  connection: Connection,
  target: Place,
  tunnel: Tunnel,
  options: ConnectOptions,
): Promise<void> {
  const first = await sniff(socket, options.firstBytes)
  if (first.kind === 'hello' && first.serverName?.toLowerCase() === target.host) return options.tls.relay(socket, tunnel, target)
  if (first.kind === 'gone') broken(connection, 'client_closed', 'the client left before TLS began', options)
  else broken(connection, first.kind === 'hello' ? 'tls_sni_mismatch' : 'tls_not_tls', first.kind, options)
  socket.destroy()
}

async function plainInside(socket: Socket, connection: Connection, options: ConnectOptions): Promise<void> {
  const first = await sniff(socket, options.firstBytes)
  if (socket.destroyed) return
  if (first.kind === 'http') {
    remember(socket, connection)
    return options.servePlain(socket)
  }
  if (first.kind !== 'gone') broken(connection, 'malformed_request', 'the bytes are not HTTP', options)
  socket.destroy()
}

interface Place {
  readonly host: Host
  readonly port: number
}

/** What passes inside is counted by the exchanges it becomes. */
function opened(socket: Socket, tunnel: Tunnel): void {
  tunnel.open()
  const untie = tunnel.tie(() => socket.destroy())
  socket.once('close', () => {
    untie()
    tunnel.close({ kind: 'replied' }, { bytesUp: 0, bytesDown: 0 })
  })
}

function broken(
  { door, peer, parent, proxyAuth }: Connection,
  code: ErrorCode,
  detail: string,
  { ports }: ConnectOptions,
): RefusalReply {
  return recordBroken({ kind: 'broken', door, peer, parent, proxyAuth, code, detail, protocol: 'http/1.1' }, ports)
}

/** Answers and closes: what may already follow a refused CONNECT is never read as a request. */
function refuse(socket: Socket, { status, phrase, headers, body }: RefusalReply): void {
  const head = replyHeadText(status, phrase, [...headers, 'connection', 'close'])
  socket.end(joinHead(head, body, false, true), () => socket.destroy())
}
