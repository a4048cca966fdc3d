import type { Socket } from 'node:net'
import type { Deadline, Deadlines } from '#base/deadlines.ts'
import type { StopSignal } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { Outbound, Sent } from '#contracts/upstream.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import { bytesOf } from '#journey/whole-body.ts'
import { ReplyReader } from '#wire/reply-reader.ts'
import type { ReplyEvents, WireRefusal, WireReplyHead } from '#wire/types.ts'
import { joinHead, requestHeadText } from '#wire/write.ts'
import { mostCopied, Upload } from './h1-upload.ts'

/** Milliseconds. An LLM may think for ten minutes before its first byte, and a stream may be as quiet. */
export const patience = { head: 15 * 60_000, body: 15 * 60_000 } as const

/** Interim replies an upstream may send before its final one; past it, it is attacking. */
export const mostInformational = 16

/** Milliseconds that an unused connection is kept, and how much earlier than its host says it is closed here. */
const idle = { unsaid: 4_000, most: 600_000, margin: 2_000 } as const

const limits = {
  headBytes: 64 * 1024,
  headers: 1_000,
  trailerBytes: 64 * 1024,
  chunkLineBytes: 4 * 1024,
  targetBytes: 64 * 1024,
} as const

const brokenOff = 'the host broke its reply off'

/** The reply had not begun and the connection was an old one that the upstream had closed meanwhile. */
export class StaleConnection extends Error {}

/** Where a connection belongs: it comes back after each reply, and is forgotten when it closes. */
export interface Home {
  release(connection: UpstreamConnection): void
  forget(connection: UpstreamConnection): void
}

/** One request and its reply. */
interface Turn {
  readonly sink: ReplySink
  readonly signal: StopSignal
  readonly upgrade: boolean
  readonly resolve: (sent: Sent) => void
  readonly reject: (error: Error) => void
  upload: Upload | undefined
  informational: number
  /** The final head has come. */
  begun: boolean
  /** A byte of the reply has come. */
  heard: boolean
}

/** A kept-alive HTTP/1.1 connection to an upstream: one request at a time, never pipelined. */
export class UpstreamConnection implements ReplyEvents, Deadline {
  deadline = Infinity
  /** `address:port` at the other end. */
  readonly #sent: Sent
  readonly #socket: Socket
  readonly #home: Home
  readonly #deadlines: Deadlines
  readonly #reader: ReplyReader
  #turn: Turn | undefined
  #used = false
  #last = false
  #kept: number = idle.unsaid
  #upgraded: RawHeaders | undefined

  constructor(socket: Socket, home: Home, deadlines: Deadlines) {
    this.#socket = socket
    this.#home = home
    this.#deadlines = deadlines
    this.#reader = new ReplyReader(limits, this)
    this.#sent = { address: `${socket.remoteAddress}:${socket.remotePort}` }
    socket
      .on('data', this.#take)
      .on('drain', this.#drained)
      .on('end', this.#ended)
      .on('error', this.#failed)
      .on('close', this.#closed)
    deadlines.add(this)
  }

  /** Resolves at the end of the reply, or with the socket when the upstream switched protocols (101). */
  send({ head, headers, upgrade }: Outbound, body: RequestBody | undefined, sink: ReplySink, signal: StopSignal): Promise<Sent> {
    return new Promise((resolve, reject) => {
      const turn: Turn = {
        sink,
        signal,
        upgrade,
        resolve,
        reject,
        upload: undefined,
        informational: 0,
        begun: false,
        heard: false,
      }
      this.#turn = turn
      sink.onDrain = this.#resume
      sink.onStop = this.#stop
      if (signal.aborted) return this.#cancel()
      signal.addEventListener('abort', this.#cancel)
      this.deadline = this.#deadlines.now + patience.head
      try {
        this.#reader.expect(head.method)
        this.#write(head.method, head.path + head.query, headers, body, turn)
      } catch (error) {
        this.#fail(
          error instanceof ProxyError
            ? error
            : new ProxyError('malformed_request', 'the request cannot be sent as HTTP/1.1', { cause: error }),
        )
      }
    })
  }

  /** Closes it, whatever it does. */
  destroy(): void {
    this.#socket.destroy()
  }

  informational(head: WireReplyHead): void {
    const turn = this.#turn
    if (!turn) return
    turn.informational += 1
    if (turn.informational > mostInformational) throw new ProxyError('upstream_protocol', 'too many interim replies')
    turn.sink.informational(head.status, head.fields)
  }

  head(head: WireReplyHead): void {
    const turn = this.#turn
    if (!turn) return
    turn.begun = true
    this.#last = head.lastOnConnection
    if (head.status === 101) {
      if (!turn.upgrade) throw new ProxyError('upstream_protocol', 'the host switched protocols unasked')
      this.#upgraded = head.fields
      return
    }
    this.#kept = head.lastOnConnection ? 0 : keptFor(head.fields)
    turn.sink.head(head.status, head.fields)
  }

  data(bytes: Buffer): void {
    if (this.#turn && !this.#turn.sink.data(bytes)) this.#socket.pause()
  }

  end(trailers: RawHeaders): void {
    const turn = this.#turn
    if (!turn || this.#upgraded) return
    turn.sink.end(trailers)
    this.#settle(turn)
    const reusable = !this.#last && !turn.upgrade && (turn.upload?.done ?? true)
    turn.upload?.stop()
    if (reusable) this.#release()
    else this.#discard()
    turn.resolve(this.#sent)
  }

  refuse({ detail }: WireRefusal): void {
    this.#fail(this.#turn?.begun ? new ProxyError('upstream_reset', brokenOff) : new ProxyError('upstream_protocol', detail))
  }

  expire(): void {
    if (!this.#turn) return this.#discard()
    // It is the agent that is slow.
    if (this.#socket.isPaused()) {
      this.deadline = this.#deadlines.now + patience.body
      this.#deadlines.add(this)
    } else this.#fail(new ProxyError('upstream_timeout'))
  }

  #write(method: string, target: string, headers: RawHeaders, body: RequestBody | undefined, turn: Turn): void {
    const upgrade = turn.upgrade ? 'connection: upgrade\r\nupgrade: websocket\r\n' : ''
    if (!body) {
      const sized = expectsBody(method) && !hasLength(headers) ? 'content-length: 0\r\n' : ''
      this.#socket.write(requestHeadText(method, target, headers, sized + upgrade), 'latin1')
      return
    }
    const chunked = !hasLength(headers)
    const whole = chunked ? undefined : bytesOf(body)
    if (whole && whole.length === body.length) {
      // In memory, and of the length that is announced: there is nothing to wait for.
      if (whole.length <= mostCopied) this.#socket.write(joinHead(requestHeadText(method, target, headers), whole, false, false))
      else {
        this.#socket.cork()
        this.#socket.write(requestHeadText(method, target, headers), 'latin1')
        this.#socket.write(whole)
        this.#socket.uncork()
      }
      return
    }
    const head = requestHeadText(method, target, headers, chunked ? 'transfer-encoding: chunked\r\n' : '')
    turn.upload = new Upload(this.#socket, { head, body, chunked, moved: this.#moved, failed: this.#uploadFailed })
    void turn.upload.run()
  }

  readonly #take = (bytes: Buffer): void => {
    const turn = this.#turn
    // What nobody asked for is no reply to anything that is asked next.
    if (!turn) return this.#discard()
    turn.heard = true
    this.deadline = this.#deadlines.now + patience.body
    let read: number
    try {
      read = this.#reader.read(bytes)
    } catch (error) {
      return this.#fail(error as Error)
    }
    if (this.#upgraded) this.#switch(turn, this.#upgraded, bytes.subarray(read))
    else if (read < bytes.length && !this.#turn) this.#discard()
  }

  #switch(turn: Turn, headers: RawHeaders, rest: Buffer): void {
    const socket = this.#socket
    this.#settle(turn)
    this.#leave()
    socket
      .off('data', this.#take)
      .off('drain', this.#drained)
      .off('end', this.#ended)
      .off('error', this.#failed)
      .off('close', this.#closed)
    socket.on('error', () => socket.destroy())
    socket.pause()
    if (rest.length > 0) socket.unshift(rest)
    turn.resolve({ ...this.#sent, upgraded: { headers, socket } })
  }

  readonly #moved = (): void => {
    this.deadline = this.#deadlines.now + patience.head
  }

  readonly #uploadFailed = (error: Error): void => {
    // A reply that is complete, or a failure that was reported, has settled this turn already.
    if (this.#turn)
      this.#fail(error instanceof ProxyError ? error : new ProxyError('upstream_reset', undefined, { cause: error }))
  }

  readonly #resume = (): void => {
    this.#socket.resume()
  }

  readonly #stop = (error: ProxyError): void => {
    this.#fail(error)
  }

  readonly #cancel = (): void => {
    this.#fail(new ProxyError('client_closed'))
  }

  readonly #drained = (): void => {
    this.#turn?.upload?.drained()
  }

  readonly #ended = (): void => {
    const turn = this.#turn
    if (!turn) return this.#discard()
    this.#last = true
    if (this.#reader.endsWithConnection) {
      try {
        return this.#reader.finish()
      } catch (error) {
        return this.#fail(error as Error)
      }
    }
    this.#lost(turn, undefined)
  }

  readonly #failed = (cause: Error): void => {
    if (this.#turn) this.#lost(this.#turn, cause)
    else this.#discard()
  }

  readonly #closed = (): void => {
    if (this.#turn) this.#lost(this.#turn, undefined)
    this.#leave()
  }

  /** The connection broke. Where no byte of a reply came, an old connection was just stale. */
  #lost(turn: Turn, cause: NodeJS.ErrnoException | undefined): void {
    const code = cause?.code
    const stale = !turn.heard && (this.#used || code === 'ECONNRESET' || code === 'EPIPE')
    const detail = turn.begun ? brokenOff : undefined
    this.#fail(stale ? new StaleConnection() : new ProxyError('upstream_reset', detail, { cause }))
  }

  #fail(error: Error): void {
    const turn = this.#turn
    this.#discard()
    if (!turn) return
    this.#settle(turn)
    turn.upload?.stop()
    turn.reject(
      error instanceof ProxyError || error instanceof StaleConnection
        ? error
        : new ProxyError('upstream_reset', undefined, { cause: error }),
    )
  }

  #settle(turn: Turn): void {
    this.#turn = undefined
    turn.signal.removeEventListener('abort', this.#cancel)
  }

  #release(): void {
    this.#used = true
    this.deadline = this.#deadlines.now + this.#kept
    // A sink that was full at the end of a reply may have paused the connection.
    if (this.#socket.isPaused()) this.#socket.resume()
    this.#home.release(this)
  }

  #discard(): void {
    this.#leave()
    this.#socket.destroy()
  }

  #leave(): void {
    this.deadline = Infinity
    this.#deadlines.delete(this)
    this.#home.forget(this)
  }
}

/** A method that takes content says that there is none (RFC 9110 section 8.6). */
function expectsBody(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH'
}

function hasLength(headers: RawHeaders): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (name.length === 14 && name.toLowerCase() === 'content-length') return true
  }
  return false
}

/** Milliseconds for which this connection may wait unused: `Keep-Alive: timeout=5` says so in seconds (RFC 2068 section 19.7.1.1). */
function keptFor(headers: RawHeaders): number {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (name.length !== 10 || name.toLowerCase() !== 'keep-alive') continue
    const seconds = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(headers[i + 1] ?? '')?.[1]
    if (seconds !== undefined) return Math.min(Math.max(Number(seconds) * 1_000 - idle.margin, 0), idle.most)
  }
  return idle.unsaid
}
