import type { Socket } from 'node:net'
import { Cancellation } from '#base/async.ts'
import type { Deadline, Deadlines } from '#base/deadlines.ts'
import { ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Ports } from '#journey/ports.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import { exchange } from '#journey/exchange.ts'
import { recordBroken } from '#journey/tunnel.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import { RequestReader } from '#wire/request-reader.ts'
import type { RequestEvents, WireRefusal, WireRequestHead } from '#wire/types.ts'
import { BodyQueue } from './body.ts'
import type { Connection } from './connection.ts'
import { H1Client } from './h1-client.ts'
import type { ReplyLine } from './h1-client.ts'
import { screen } from './head.ts'
import type { Screened } from './head.ts'

/** Milliseconds, bytes and counts. Heads must come at once; bodies and replies may take as long as they move. */
const limits = {
  head: 30_000,
  idle: 75_000,
  silence: 20 * 60_000,
  /** How much of a body that is not wanted is still read, and for how long, before its connection closes. */
  linger: 1_000,
  lingerBytes: 256 * 1024,
  /** Requests without a body that are under way at once on one connection; behind one with a body the next waits for its reply. */
  pipelined: 8,
} as const

const wireLimits = {
  headBytes: 16 * 1024,
  headers: 200,
  targetBytes: 16 * 1024,
  chunkLineBytes: 4 * 1024,
  trailerBytes: 16 * 1024,
} as const

const behindOthers = 'CONNECT and upgrades wait for the replies before them'

/** What all connections have in common. */
export interface H1Options {
  readonly ports: Ports
  readonly deadlines: Deadlines
  /** Every reply ends its connection now. */
  readonly closes: () => boolean
  /** Takes over the socket of a CONNECT; what follows the head is the first that is read from it. Never throws. */
  readonly connect: (head: WireRequestHead, socket: Socket, connection: Connection) => void
  readonly closed: (connection: H1Connection) => void
}

/** A request whose body is being read. */
interface Incoming {
  readonly client: H1Client
  body: BodyQueue | undefined
  trailers: RawHeaders
  /** Its reply is complete: what still comes of the body is dropped. */
  answered: boolean
}

/**
 * `requests`: the bytes are requests. `lingering`: the rest of a body is read and dropped. `over`: a reply ends the connection,
 * and what follows is nothing to us (RFC 9112 section 9.6). `switched`: the socket belongs to what follows the head.
 */
type State = 'requests' | 'lingering' | 'over' | 'switched'

/** One agent's HTTP/1.x connection: requests come in, replies go out in their order. */
export class H1Connection implements RequestEvents, ReplyLine, Deadline {
  deadline: number
  readonly socket: Socket
  readonly #facts: Connection
  readonly #options: H1Options
  readonly #reader: RequestReader
  #state: State = 'requests'
  /** Not written to their end yet, in the order of their requests. */
  readonly #replies: H1Client[] = []
  #incoming: Incoming | undefined
  #connecting: WireRequestHead | undefined
  /** Came from the socket and is not read yet. */
  #rest: Buffer | undefined
  #reading = false
  /** A request was read here before. */
  #used = false
  #lingerLeft: number = limits.lingerBytes

  constructor(socket: Socket, facts: Connection, options: H1Options) {
    this.socket = socket
    this.#facts = facts
    this.#options = options
    this.#reader = new RequestReader(wireLimits, this)
    this.deadline = options.deadlines.now + limits.head
    options.deadlines.add(this)
    socket.on('data', this.#take).on('drain', this.#drained).on('close', this.#closed).on('error', this.#failed)
    // Also what a first look at the connection has put back.
    socket.resume()
  }

  /** No request is under way. */
  get idle(): boolean {
    return this.#replies.length === 0 && !this.#reader.inHead && !this.#reader.inMessage
  }

  /** Bytes of a reply were written: a stream that only the agent's silence goes on with is alive. */
  moved(): void {
    this.deadline = this.#now + limits.silence
  }

  isFirst(client: H1Client): boolean {
    return this.#replies[0] === client
  }

  head(head: WireRequestHead): void {
    this.#used = true
    this.deadline = this.#now + limits.silence
    const behind = this.#replies.length > 0
    if (head.method === 'CONNECT' && !behind) {
      this.#connecting = head
      return
    }
    const { method, version, target, fields, framing } = head
    const client = this.#answering(method, version, head.expectContinue)
    client.sends = framing.kind !== 'none'
    client.requestRead = !client.sends
    client.closing = head.lastOnConnection
    if (method === 'CONNECT') return this.#refuse(client, 'malformed_request', behindOthers)
    const screened = screen({ version, method, target, headers: fields }, this.#facts)
    if (screened.kind === 'refused') return this.#refuse(client, screened.code, screened.detail)
    if (screened.upgrade && behind) return this.#refuse(client, 'malformed_request', behindOthers)
    this.#begin(client, screened, version)
  }

  data(bytes: Buffer): void {
    const incoming = this.#incoming
    if (this.#state !== 'lingering') {
      this.deadline = this.#now + limits.silence
      if (!incoming?.answered) incoming?.body?.push(bytes)
      return
    }
    this.#lingerLeft -= bytes.length
    // An agent that still has more to send reads the reply meanwhile; closing now would reset it out of its hands.
    if (this.#lingerLeft < 0) this.socket.pause()
  }

  end(trailers: RawHeaders): void {
    const incoming = this.#incoming
    this.#incoming = undefined
    if (!incoming) return
    incoming.trailers = trailers
    incoming.client.requestRead = true
    incoming.body?.finish()
    if (this.#state === 'lingering') this.#hangUp()
  }

  refuse({ code, detail }: WireRefusal): void {
    const incoming = this.#incoming
    this.#incoming = undefined
    if (this.#state === 'lingering') return this.#hangUp()
    if (!incoming) return this.#refuse(this.#answering('GET', '1.1', false), code, detail, true)
    // In the middle of a body it is that request that is broken: whatever reads its body learns it.
    incoming.client.closing = true
    incoming.client.requestRead = true
    incoming.body?.fail(new ProxyError(code, detail))
    this.#state = 'over'
  }

  finished(client: H1Client): void {
    this.#replies.shift()
    if (client.closing) return client.whole ? this.#hangUp() : this.#linger()
    const next = this.#replies[0]
    if (next) {
      next.flush()
      next.onDrain()
    } else if (this.#state === 'requests') {
      this.deadline = this.#now + (this.#reader.inHead || this.#incoming ? limits.head : limits.idle)
    }
    // The rest of a body that its agent may still send, though it was not asked to go on.
    if (this.#incoming?.client === client) {
      this.#incoming.answered = true
      this.socket.resume()
    }
    if (this.#rest) this.#read()
  }

  detach(): void {
    this.#state = 'switched'
    this.#leave()
    this.socket.off('data', this.#take).off('drain', this.#drained).off('close', this.#closed)
    // The listener for errors stays: without one, an error ends the process.
    this.socket.pause()
    const rest = this.#rest
    this.#rest = undefined
    if (rest) this.socket.unshift(rest)
  }

  expire(): void {
    // A head that was begun, or that never was on a new connection, is answered; all else just ends.
    if (this.#replies.length > 0 || this.#incoming || this.#state !== 'requests') return void this.socket.destroy()
    if (this.#used && !this.#reader.inHead) return void this.socket.destroy()
    this.deadline = this.#now + limits.linger
    this.#options.deadlines.add(this)
    this.#refuse(this.#answering('GET', '1.1', false), 'request_timeout', 'the request head did not arrive in time', true)
  }

  get #now(): number {
    return this.#options.deadlines.now
  }

  /** A reply that takes its place behind those before it. */
  #answering(method: string, version: '1.0' | '1.1', awaited: boolean): H1Client {
    const client = new H1Client(this, { method, version, awaited, closes: this.#options.closes })
    this.#replies.push(client)
    this.#incoming = { client, body: undefined, trailers: [], answered: false }
    return client
  }

  #begin(client: H1Client, screened: Screened, version: '1.0' | '1.1'): void {
    const incoming = this.#incoming
    if (!incoming) return
    const { door, peer, parent, refusal } = this.#facts
    if (refusal) {
      refusal.ask()
      client.closing = true
    }
    const { head, proxyAuth, runId, traceId, length } = screened
    let body: RequestBody | undefined
    if (screened.hasBody) {
      incoming.body = new BodyQueue(this.socket)
      body = { chunks: incoming.body, length, trailers: () => incoming.trailers }
    }
    if (screened.upgrade) {
      client.closing = true
      this.#state = 'over'
    }
    const cut = (client.cut = new Cancellation<CutBy>())
    const kind = screened.upgrade ? 'upgrade' : 'request'
    const protocol = version === '1.0' ? 'http/1.0' : 'http/1.1'
    const arrival = { kind, door, peer, parent, protocol, head, proxyAuth, runId, traceId } as const
    // What was not foreseen costs this connection and no other.
    exchange(arrival, body, client, cut, this.#options.ports).catch(() => this.socket.destroy())
  }

  /** Answers what is no request that can be judged, and closes. */
  #refuse(client: H1Client, code: ErrorCode, detail: string, read = false): void {
    client.requestRead ||= read
    const { door, peer, parent, proxyAuth, refusal } = this.#facts
    const broken = { kind: 'broken', door, peer, parent, proxyAuth, code, detail, protocol: 'http/1.1' } as const
    const reply = refusal?.deny() ?? recordBroken(broken, this.#options.ports)
    client.closing = true
    client.head(reply.status, reply.headers, false, reply.phrase)
    client.data(reply.body)
    client.end([])
    if (this.#state === 'requests') this.#state = 'over'
  }

  readonly #take = (bytes: Buffer): void => {
    this.#rest = this.#rest ? Buffer.concat([this.#rest, bytes]) : bytes
    this.#read()
  }

  /** Reads on as far as requests may be begun. A reply that is given at once leads back here: it is this loop that goes on. */
  #read(): void {
    if (this.#reading) return
    this.#reading = true
    while (this.#rest && this.#reads()) {
      const bytes = this.#rest
      this.#rest = undefined
      const between = !this.#reader.inHead && !this.#reader.inMessage
      const read = this.#reader.read(bytes)
      if (read < bytes.length) this.#rest = bytes.subarray(read)
      if (between && this.#reader.inHead && this.#used) this.deadline = Math.min(this.deadline, this.#now + limits.head)
    }
    this.#reading = false
    if (this.#connecting) this.#connect(this.#connecting)
    else if (this.#rest) this.socket.pause()
    else if (!this.#rest && this.socket.isPaused() && this.#reads() && !this.#incoming) this.socket.resume()
  }

  #reads(): boolean {
    if (this.#connecting || this.#state === 'switched') return false
    if (this.#reader.inMessage) return true
    return this.#state === 'requests' && this.#replies.length < limits.pipelined && !this.#replies.some(({ sends }) => sends)
  }

  #connect(head: WireRequestHead): void {
    this.#connecting = undefined
    this.#incoming = undefined
    this.detach()
    this.#options.connect(head, this.socket, this.#facts)
  }

  readonly #drained = (): void => {
    this.#replies[0]?.onDrain()
  }

  readonly #failed = (): void => {
    this.socket.destroy()
  }

  readonly #closed = (): void => {
    this.#leave()
    this.#incoming?.body?.fail(new ProxyError('client_closed'))
    for (const client of this.#replies) client.cut?.cut('agent')
  }

  /** Reads on for a moment before closing: closing on unread bytes would reset the reply out of the agent's hands. */
  #linger(): void {
    this.#state = 'lingering'
    this.deadline = this.#now + limits.linger
    this.#drop()
    this.socket.resume()
    this.#read()
  }

  #hangUp(): void {
    this.#state = 'over'
    this.#rest = undefined
    this.#drop()
    this.deadline = this.#now + limits.head
    this.socket.destroySoon()
  }

  /** Requests behind a reply that ends the connection are not answered. */
  #drop(): void {
    for (const client of this.#replies.splice(0)) client.cut?.cut('agent')
  }

  #leave(): void {
    this.#options.deadlines.delete(this)
    this.#options.closed(this)
  }
}
