/**
 * listeners/ is sockets in: bytes become Arrivals, whatever door they came through. Its neighbours: journey/ decides and
 * answers, ca/ mints what TLS presents. A connection's facts are set once, here, and travel with its socket.
 */
import type { Socket } from 'node:net'
import { parseAddress } from '#base/address.ts'
import type { Host } from '#base/host.ts'
import type { TunnelRefusal } from '#journey/tunnel.ts'
import type { Door, Peer, ProxyAuth, Scheme } from '#contracts/request.ts'

/** What is known of a connection before a request is read from it. */
export interface Connection {
  readonly door: Door
  readonly peer: Peer
  readonly scheme: Scheme
  /** The name in SNI or CONNECT: every request on this connection must be for it. */
  readonly bound: { readonly host: Host; readonly port: number } | undefined
  /** The port this door listens on: an agent that names it means the scheme's default port. */
  readonly localPort: number
  readonly proxyAuth?: ProxyAuth | undefined
  /** Id of the tunnel around it. */
  readonly parent?: string | undefined
  /** The tunnel around it is denied, and open only to say so. */
  readonly refusal?: TunnelRefusal | undefined
}

const facts = new WeakMap<object, Connection>()

/** The facts of a socket; `undefined` for one that did not come through a door. */
export function connectionOf(socket: object): Connection | undefined {
  return facts.get(socket)
}

export function remember(socket: object, connection: Connection): void {
  facts.set(socket, connection)
}

/** Who is at the other end; `undefined` when the socket is already gone. */
export function peerOf(socket: Socket): Peer | undefined {
  const address = parseAddress(socket.remoteAddress ?? '')
  return address && socket.remotePort !== undefined ? { address, port: socket.remotePort } : undefined
}
