import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { setImmediate as immediate } from 'node:timers/promises'
import type { Address } from '#base/address.ts'
import type { Ports } from '#journey/ports.ts'
import { RefusedFields } from '#journey/refused-fields.ts'
import type { Door } from '#contracts/request.ts'
import { acceptConnect } from './connect.ts'
import { peerOf, remember } from './connection.ts'
import { connectionsWithin, mostFiles } from './descriptors.ts'
import { H1 } from './h1.ts'
import { H2 } from './h2.ts'
import { Peers } from './peers.ts'
import { TlsFront } from './tls.ts'
import type { Leaves } from './tls.ts'
import { AgentTurns } from './turns.ts'

/** `undefined` keeps a door shut. Port 0 takes any free one. */
export interface DoorAddresses {
  readonly http?: DoorAddress | undefined
  readonly https?: DoorAddress | undefined
  readonly proxy?: DoorAddress | undefined
}

export interface DoorAddress {
  readonly address: string
  readonly port: number
  /** Other threads listen at the same place, and the system gives each connection to one of them (Linux, socket(7)). */
  readonly reusePort?: boolean
}

/** What threads that serve together have in common. */
export interface Together {
  /** How many they are: each takes its part of what may be open at once. */
  readonly threads: number
}

type TcpDoor = Exclude<Door, 'dns' | 'self'>

/**
 * Connections held at once, in all and from one address; past it they are closed unheard. Milliseconds. `bytes`: what an open
 * connection takes outside the heap; those of one address fit into the share of one agent.
 */
const limits = { connections: 16_384, perPeer: 4_096, bytes: 32 * 1024, handshake: 15_000, lastTurns: 1_000 } as const

/** The doors for HTTP and TLS. DNS has its own room. */
export class Doors {
  readonly #addresses: DoorAddresses
  readonly #most: { readonly connections: number; readonly perPeer: number }
  readonly #servers: Server[] = []
  readonly #sockets = new Map<Socket, { readonly door: TcpDoor; readonly peer: Address }>()
  readonly #perPeer = new Map<string, number>()
  #taken = 0
  readonly #h1: H1
  readonly #h2: H2
  readonly #tls: TlsFront
  readonly #peers: Peers
  /** The ports in use, once started. */
  readonly ports: { http?: number; https?: number; proxy?: number } = {}

  /** `together`: there are others that serve with these. */
  constructor(addresses: DoorAddresses, given: Ports, leaves: Leaves, together?: Together) {
    const part = (most: number): number => Math.ceil(most / (together?.threads ?? 1))
    const ports = { ...given, turns: new AgentTurns(), refusedFields: new RefusedFields(given.clock) }
    this.#addresses = addresses
    this.#peers = new Peers(ports.clock)
    // Metrics and health keep the descriptors that agents may not take.
    this.#most = {
      connections: part(Math.min(limits.connections, connectionsWithin(mostFiles()))),
      perPeer: Math.min(part(limits.perPeer), Math.floor(ports.memory.agentBytes / limits.bytes)),
    }
    this.#h2 = new H2(ports, this.#peers)
    this.#h1 = new H1(ports, (head, socket, connection) => {
      acceptConnect(head, socket, connection, {
        ports,
        tls: this.#tls,
        firstBytes: limits.handshake,
        servePlain: (inner) => this.#h1.serve(inner),
      }).catch(() => socket.destroy())
    })
    this.#tls = new TlsFront({
      ports,
      leaves,
      peers: this.#peers,
      handshakeTimeout: limits.handshake,
      serve: (socket, protocol) => (protocol === 'h2' ? this.#h2.serve(socket) : this.#h1.serve(socket)),
    })
  }

  /** Connections of any door. */
  get open(): number {
    return this.#sockets.size
  }

  /** Open connections by door. */
  get connections(): Readonly<Record<TcpDoor, number>> {
    const counts = { http: 0, https: 0, proxy: 0 }
    for (const { door } of this.#sockets.values()) counts[door] += 1
    return counts
  }

  /** Binds every door; rejects with the error of the first that cannot be bound, and binds none then. */
  async start(): Promise<void> {
    try {
      for (const door of ['http', 'https', 'proxy'] as const) {
        const address = this.#addresses[door]
        if (address) this.ports[door] = await this.#listen(door, address)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  /**
   * Takes no new connections; those already taken are heard, and each closes with its reply. Closing a door resets whoever
   * still stands before it, and libuv 1.52 lets in one a turn: so not before a turn in which nobody came.
   */
  async retire(): Promise<void> {
    this.#h1.retire()
    for (let turn = 0, taken = -1; turn < limits.lastTurns && taken !== this.#taken; turn += 1) {
      taken = this.#taken
      await immediate()
    }
    for (const server of this.#servers) server.close()
  }

  /** Takes no new connections, lets running exchanges end, closes what is idle. */
  drain(): void {
    for (const server of this.#servers) server.close()
    this.#h1.drain()
    this.#h2.drain()
  }

  /** Closes everything now. */
  close(): void {
    for (const server of this.#servers) server.close()
    this.#h1.close()
    this.#h2.close()
    for (const socket of this.#sockets.keys()) socket.destroy()
  }

  /** Closes what this address has opened: whoever had it has it no more. */
  closeFrom(address: Address): void {
    for (const [socket, { peer }] of this.#sockets) if (peer === address) socket.destroy()
  }

  async #listen(door: TcpDoor, { address, port, reusePort = false }: DoorAddress): Promise<number> {
    const server = createServer({ noDelay: true, keepAlive: true, pauseOnConnect: false }, (socket) => this.#accept(door, socket))
    server.maxConnections = this.#most.connections
    this.#servers.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: address, port, reusePort, backlog: 4_096 }, () => {
        server.off('error', reject)
        // Out of file descriptors, say: what is open goes on, and accepting resumes by itself.
        server.on('error', () => {})
        resolve()
      })
    })
    return (server.address() as { port: number }).port
  }

  #accept(door: TcpDoor, socket: Socket): void {
    this.#taken += 1
    socket.on('error', () => socket.destroy())
    const peer = peerOf(socket)
    if (!peer || this.#peers.isSpent(peer.address) || !this.#count(socket, door, peer.address)) return void socket.destroy()
    const before = { door, peer, localPort: this.ports[door] ?? 0 }
    if (door === 'https') return void this.#tls.accept(socket, before)
    remember(socket, { ...before, scheme: 'http', bound: undefined })
    this.#h1.serve(socket)
  }

  #count(socket: Socket, door: TcpDoor, address: Address): boolean {
    const open = this.#perPeer.get(address) ?? 0
    if (open >= this.#most.perPeer || this.#sockets.size >= this.#most.connections) return false
    this.#perPeer.set(address, open + 1)
    this.#sockets.set(socket, { door, peer: address })
    socket.once('close', () => {
      this.#sockets.delete(socket)
      const left = (this.#perPeer.get(address) ?? 1) - 1
      if (left > 0) this.#perPeer.set(address, left)
      else this.#perPeer.delete(address)
    })
    return true
  }
}
