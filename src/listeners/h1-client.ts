import type { Socket } from 'node:net'
import { nextTick } from 'node:process'
import type { Cancellation, StopSignal } from '#base/async.ts'
import { headerValue } from '#journey/headers.ts'
import type { Client, Relayed, Upgraded } from '#contracts/reply.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import type { RawHeaders } from '#contracts/request.ts'
import { chunkPrefix, joinHead, lastChunk, lastChunkWith, replyHeadText } from '#wire/write.ts'
import { reasonOf } from '#wire/reason.ts'
import { splice } from './splice.ts'

/** Bytes of a reply that wait for the end of the turn in which they came, or for the replies before it. */
const mostHeld = 64 * 1024
/** Bytes up to which what leaves together is copied into one write. */
const mostCopied = 16 * 1024

/** The connection that a reply goes out on. */
export interface ReplyLine {
  readonly socket: Socket
  /** Replies leave in the order of their requests (RFC 9112 section 9.3.2): only the first of them may write. */
  isFirst(client: H1Client): boolean
  /** Bytes were written. */
  moved(): void
  /** The whole reply was written. */
  finished(client: H1Client): void
  /** Stops reading the socket; what was read and is no request is put back. */
  detach(): void
}

export interface ReplyOptions {
  readonly method: string
  readonly version: '1.0' | '1.1'
  /** The agent holds its body back until it is told to go on. */
  readonly awaited: boolean
  /** Every reply ends its connection now; asked when a head is given. */
  readonly closes: () => boolean
}

/** How the end of a reply body is known (RFC 9112 section 6.3); `open`: that is decided when the head is written. */
type Framing = 'none' | 'length' | 'chunked' | 'close' | 'open'

/** The agent's half of one HTTP/1.x exchange. What comes in one turn of the loop leaves in one write. */
export class H1Client implements Client {
  onDrain: () => void = nothing
  /** The request has a body. */
  sends = false
  /** The request was read to its end. */
  requestRead = false
  /** The connection ends with this reply. */
  closing = false
  cut: Cancellation<CutBy> | undefined
  readonly #line: ReplyLine
  readonly #options: ReplyOptions
  #begun = false
  #proceeded = false
  #scheduled = false
  #ended = false
  #status = 0
  #phrase: string | undefined
  /** Not written yet. */
  #headers: RawHeaders | undefined
  #framing: Framing = 'open'
  #held: Uint8Array[] = []
  #size = 0
  #trailers: RawHeaders = []

  constructor(line: ReplyLine, options: ReplyOptions) {
    this.#line = line
    this.#options = options
  }

  get begun(): boolean {
    return this.#begun || this.#line.socket.destroyed
  }

  /** All that the agent meant to send with its request is here, or will not come unasked. */
  get whole(): boolean {
    return this.requestRead || (this.#options.awaited && !this.#proceeded)
  }

  proceed(): void {
    if (!this.#options.awaited || this.#proceeded || this.requestRead || !this.#line.isFirst(this)) return
    this.#proceeded = true
    this.#line.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
  }

  /** 103 alone, and of it the links (RFC 8297): 102 and the rest tell an agent nothing it needs. */
  informational(status: number, headers: RawHeaders): void {
    if (status !== 103 || this.begun || this.#options.version === '1.0' || !this.#line.isFirst(this)) return
    const links: string[] = []
    for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === 'link') links.push('Link', headers[i + 1] ?? '')
    if (links.length > 0) this.#line.socket.write(replyHeadText(103, 'Early Hints', links), 'latin1')
  }

  head(status: number, headers: RawHeaders, _last?: boolean, phrase?: string): void {
    if (this.begun) return
    this.#begun = true
    this.#status = status
    this.#phrase = phrase
    this.#headers = headers
    if (this.#options.method === 'HEAD' || status === 204 || status === 304) this.#framing = 'none'
    else if (headerValue(headers, 'content-length') !== undefined) this.#framing = 'length'
    this.#schedule()
  }

  data(chunk: Uint8Array): boolean {
    if (this.#framing === 'none' || chunk.length === 0) return true
    this.#held.push(chunk)
    this.#size += chunk.length
    if (this.#size > mostHeld) this.flush()
    else this.#schedule()
    return this.#size <= mostHeld && !this.#line.socket.writableNeedDrain
  }

  end(trailers: RawHeaders): void {
    this.#ended = true
    this.#trailers = trailers
    this.#schedule()
  }

  abort(): void {
    this.#line.socket.destroy()
  }

  relay({ headers, socket: upstream }: Upgraded, signal: StopSignal): Promise<Relayed> {
    const { socket } = this.#line
    this.#line.detach()
    socket.write(
      replyHeadText(101, 'Switching Protocols', ['Connection', 'Upgrade', 'Upgrade', 'websocket', ...headers]),
      'latin1',
    )
    return splice(socket, upstream, signal)
  }

  /** Writes what there is, if it is this reply's turn. */
  flush(): void {
    this.#scheduled = false
    if (!this.#line.isFirst(this) || this.#line.socket.destroyed) return
    const last = this.#ended
    const head = this.#takeHead(last)
    const chunks = this.#held
    if (head !== undefined || chunks.length > 0 || last) {
      this.#held = []
      this.#write(head, chunks, last)
      this.#line.moved()
      this.#size = 0
    }
    if (last) this.#line.finished(this)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    nextTick(flush, this)
  }

  #takeHead(whole: boolean): string | undefined {
    const headers = this.#headers
    if (!headers) return undefined
    this.#headers = undefined
    // A body that was not read to its end leaves the connection where no next request can be told from it.
    this.closing ||= this.#options.version === '1.0' || this.#options.closes() || !this.whole
    let more = ''
    if (this.#framing === 'open') {
      if (whole && this.#trailers.length === 0) {
        this.#framing = 'length'
        more = `content-length: ${this.#size}\r\n`
      } else if (this.#options.version === '1.1') {
        this.#framing = 'chunked'
        more = 'transfer-encoding: chunked\r\n'
      } else this.#framing = 'close'
    }
    if (this.closing) more += 'connection: close\r\n'
    return replyHeadText(this.#status, this.#phrase ?? reasonOf(this.#status), headers, more)
  }

  #write(head: string | undefined, chunks: readonly Uint8Array[], last: boolean): void {
    const { socket } = this.#line
    const chunked = this.#framing === 'chunked'
    const trailers = chunked && last && this.#trailers.length > 0
    const ends = chunked && last && !trailers
    const [first] = chunks
    if (this.#size <= mostCopied) {
      const body = chunks.length > 1 ? Buffer.concat(chunks) : first
      if (head !== undefined || chunked) socket.write(joinHead(head ?? '', body, chunked, ends))
      else if (body) socket.write(body)
      if (trailers) socket.write(lastChunkWith(this.#trailers), 'latin1')
      return
    }
    socket.cork()
    if (head !== undefined) socket.write(head, 'latin1')
    if (chunked) socket.write(chunkPrefix(this.#size), 'latin1')
    for (const chunk of chunks) socket.write(chunk)
    if (chunked) socket.write('\r\n', 'latin1')
    if (trailers) socket.write(lastChunkWith(this.#trailers), 'latin1')
    else if (ends) socket.write(lastChunk)
    socket.uncork()
  }
}

function nothing(): void {}

/** One function for all replies, so that scheduling one allocates nothing. */
function flush(client: H1Client): void {
  client.flush()
}
