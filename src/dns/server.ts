/**
 * dns/ answers one question: what does this agent get for this name? The proxy's own address where a rule could allow
 * it, the policy's own records and forwarded zones, a refusal for all else; nothing unknown is ever resolved. `wire.ts`
 * and `answer.ts` are pure, `responder.ts` joins them, this file has the sockets. Its neighbours: policy/ decides about
 * hosts, journey/ knows agents and audit, listeners/ take the connections that our answers attract.
 */
import { createSocket } from 'node:dgram'
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram'
import { createServer, isIPv6 } from 'node:net'
import type { Server, Socket } from 'node:net'
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import { Responder } from './responder.ts'
import type { ResponderOptions } from './responder.ts'
import { serveStream } from './stream.ts'

export interface DnsOptions extends ResponderOptions {
  /** Port 0 takes a free one, the same for UDP and TCP. */
  readonly listen: { readonly address: Address; readonly port: number }
}

/** TCP connections of everyone, and of one address. */
export const connections = { everyone: 1024, peer: 64 } as const

/** Tries at finding a port that is free for both UDP and TCP. */
const portTries = 8
/** Bytes the kernel holds for us while a burst comes in; it may grant less. */
const receiveBuffer = 1 << 20

/** Owns the UDP socket and the TCP server. */
export class DnsServer {
  readonly #options: DnsOptions
  readonly #responder: Responder
  readonly #streams = new Map<Socket, string>()
  #udp: UdpSocket | undefined
  #tcp: Server | undefined

  constructor(options: DnsOptions) {
    this.#options = options
    this.#responder = new Responder(options)
  }

  /** Binds both sockets. Rejects with the system's error (`EACCES`, `EADDRINUSE`), and then holds neither. */
  async start(): Promise<{ readonly udpPort: number; readonly tcpPort: number }> {
    const { address, port } = this.#options.listen
    for (let tries = port === 0 ? portTries : 1; ; tries -= 1) {
      const udp = await bindUdp(address, port)
      const udpPort = udp.address().port
      try {
        this.#tcp = await listenTcp(address, udpPort, (socket) => this.#accept(socket))
      } catch (error) {
        udp.close()
        if (tries > 1) continue
        throw error
      }
      this.#udp = udp
      udp.on('message', (message, sender) => this.#receive(udp, message, sender))
      return { udpPort, tcpPort: udpPort }
    }
  }

  /** Closes both sockets and every connection, gives up on forwarded questions, writes the last counts. */
  async stop(): Promise<void> {
    const [udp, tcp] = [this.#udp, this.#tcp]
    this.#udp = undefined
    this.#tcp = undefined
    const closed = [udp, tcp]
      .filter((each) => each !== undefined)
      .map((each) => new Promise<void>((resolve) => each.close(() => resolve())))
    for (const socket of this.#streams.keys()) socket.destroy()
    await Promise.all(closed)
    await this.#responder.stop()
  }

  /** Closes the connections of this address: whoever had it has it no more. */
  closeFrom(address: Address): void {
    for (const [socket, peer] of this.#streams) if (parseAddress(peer) === address) socket.destroy()
  }

  #receive(udp: UdpSocket, message: Buffer, sender: RemoteInfo): void {
    // A forged source port of 0 cannot be answered: `send` throws on it.
    if (sender.port === 0) return
    const reply = this.#responder.respond(message, sender.address, 'udp')
    if (reply instanceof Promise) void reply.then((late) => this.#send(udp, late, sender))
    else this.#send(udp, reply, sender)
  }

  #send(udp: UdpSocket, reply: Buffer | undefined, sender: RemoteInfo): void {
    // No callback: each costs a tick, and what cannot be sent is an `error` of the socket, which is heard there.
    if (reply && udp === this.#udp) udp.send(reply, sender.port, sender.address)
  }

  #accept(socket: Socket): void {
    const peer = socket.remoteAddress
    const ofPeer = [...this.#streams.values()].filter((each) => each === peer).length
    if (peer === undefined || this.#streams.size >= connections.everyone || ofPeer >= connections.peer) {
      socket.on('error', () => {})
      return void socket.destroy()
    }
    this.#streams.set(socket, peer)
    socket.on('close', () => this.#streams.delete(socket))
    serveStream(socket, (message) => this.#responder.respond(message, peer, 'tcp'))
  }
}

async function bindUdp(address: string, port: number): Promise<UdpSocket> {
  const family = isIPv6(address) ? 6 : 4
  const udp = createSocket({
    type: `udp${family}`,
    recvBufferSize: receiveBuffer,
    // Peers are known by address; the usual lookup costs a tick for each reply.
    lookup: (host, _options, found) => found(null, host, family),
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  udp.once('error', reject)
  udp.bind({ address, port, exclusive: true }, resolve)
  try {
    await promise
  } catch (error) {
    udp.close()
    throw error
  }
  udp.off('error', reject)
  // ICMP errors of peers that are gone arrive here; the socket stays usable.
  udp.on('error', () => {})
  return udp
}

async function listenTcp(address: string, port: number, accept: (socket: Socket) => void): Promise<Server> {
  // Half open: a client may end its side and still wait for what it asked.
  const tcp = createServer({ allowHalfOpen: true, noDelay: true }, accept)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  tcp.once('error', reject)
  tcp.listen({ host: address, port, exclusive: true }, resolve)
  await promise
  tcp.off('error', reject)
  tcp.on('error', () => {})
  return tcp
}
