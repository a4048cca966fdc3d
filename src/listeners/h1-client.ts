import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StopSignal } from '#base/async.ts'
import { headerValue } from '#journey/headers.ts'
import type { Client, Relayed, Upgraded } from '#journey/ports.ts'
import type { RawHeaders } from '#journey/types.ts'
import { splice } from './splice.ts'

/** Bytes and milliseconds. How much of a body that nobody wants is still read, and for how long, before its connection closes. */
const linger = { bytes: 256 * 1024, time: 1_000 } as const
/** Bytes of a reply that wait for the end of the turn in which they came. */
const mostHeld = 64 * 1024

/** The agent's half of one HTTP/1.x exchange. */
export class H1Client implements Client {
  onDrain: () => void = () => {}
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #awaited: boolean
  #close: () => boolean
  /** The head and what has followed it in the same turn of the loop. */
  #held: Held | undefined
  #closing = false
  #proceeded = false
  #broken = false

  /** `awaited`: the agent holds its body back until told to go on. */
  constructor(req: IncomingMessage, res: ServerResponse, options: { readonly close: () => boolean; readonly awaited: boolean }) {
    this.#req = req
    this.#res = res
    this.#close = options.close
    this.#awaited = options.awaited
    res.on('drain', () => this.onDrain())
    // The agent going away is seen by 'close'; without a listener the error would end the process.
    res.on('error', () => {})
    req.on('error', () => (this.#broken = true))
  }

  get begun(): boolean {
    return this.#held !== undefined || this.#res.headersSent || this.#res.destroyed
  }

  /** A head was written that says so. */
  get closing(): boolean {
    return this.#closing
  }

  /** The connection ends with this reply. */
  close(): void {
    this.#close = always
  }

  proceed(): void {
    if (!this.#awaited || this.#proceeded) return
    this.#proceeded = true
    this.#res.writeContinue()
  }

  informational(status: number, headers: RawHeaders): void {
    // Node writes 103 only, and 102 and the rest tell an agent nothing it needs.
    if (status !== 103) return
    const hints: Record<string, string | string[]> = {}
    for (let i = 0; i < headers.length; i += 2) {
      const name = (headers[i] ?? '').toLowerCase()
      if (name === 'link') hints['link'] = (hints['link'] ?? []).concat(headers[i + 1] ?? '')
    }
    try {
      if (hints['link']) this.#res.writeEarlyHints(hints)
    } catch {
      // Node takes one link a field, and HTTP allows a list (RFC 8288 section 3). Without the hint nothing is lost.
    }
  }

  head(status: number, headers: RawHeaders): void {
    if (this.begun) return
    // A body that was not read to its end leaves the connection where no next request can be told from it.
    this.#closing = this.#close() || !this.#whole
    this.#held = { status, headers: this.#closing ? [...headers, 'connection', 'close'] : headers, chunks: [], size: 0 }
    queueMicrotask(() => this.#release())
  }

  data(chunk: Uint8Array): boolean {
    const held = this.#held
    if (held && held.size + chunk.length <= mostHeld) {
      held.chunks.push(chunk)
      held.size += chunk.length
      return true
    }
    this.#release()
    return this.#res.write(chunk)
  }

  /** What came at once goes out at once; more may follow. */
  #release(): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    if (this.#res.destroyed) return
    this.#res.writeHead(held.status, held.headers as string[])
    if (held.chunks.length === 0) return this.#res.flushHeaders()
    for (const chunk of held.chunks) this.#res.write(chunk)
  }

  /** A reply that came whole leaves whole: in one piece, and with its length where only that was open. */
  #releaseWhole({ status, headers, chunks, size }: Held): void {
    this.#held = undefined
    const bodyless = this.#req.method === 'HEAD' || status === 204 || status === 304
    const framed = bodyless || headerValue(headers, 'content-length') !== undefined
    this.#res.writeHead(status, (framed ? headers : [...headers, 'content-length', String(size)]) as string[])
    const [first] = chunks
    this.#res.end(chunks.length > 1 ? Buffer.concat(chunks) : first)
  }

  end(trailers: RawHeaders): void {
    const held = this.#held
    if (held && trailers.length === 0 && this.#whole && !this.#res.destroyed) return this.#releaseWhole(held)
    this.#release()
    if (trailers.length > 0) this.#res.addTrailers(pairs(trailers))
    if (this.#whole || this.#broken || this.#res.destroyed) return void this.#res.end()
    this.#linger()
  }

  abort(): void {
    this.#res.destroy()
    this.#req.socket.destroy()
  }

  async relay(upgraded: Upgraded, signal: StopSignal): Promise<Relayed> {
    const { socket } = this.#req
    this.#res.detachSocket(socket)
    socket.write(switching(upgraded.headers))
    return splice(socket, upgraded.socket, signal)
  }

  get #whole(): boolean {
    return this.#req.complete || (this.#awaited && !this.#proceeded)
  }

  /** Reads on for a moment before closing: closing on unread bytes would reset the reply out of the agent's hands. */
  #linger(): void {
    let left: number = linger.bytes
    const finish = () => {
      clearTimeout(timer)
      this.#res.end()
    }
    const timer = setTimeout(finish, linger.time)
    this.#req.once('end', finish).once('close', finish)
    this.#req.on('data', (chunk: Buffer) => {
      left -= chunk.length
      // An agent that still has more to send reads the reply meanwhile; closing now would reset it out of its hands.
      if (left < 0) this.#req.pause()
    })
    this.#req.resume()
  }
}

const always = () => true

interface Held {
  readonly status: number
  readonly headers: RawHeaders
  readonly chunks: Uint8Array[]
  size: number
}

function pairs(headers: RawHeaders): [string, string][] {
  const list: [string, string][] = []
  for (let i = 0; i < headers.length; i += 2) list.push([headers[i] ?? '', headers[i + 1] ?? ''])
  return list
}

function switching(headers: RawHeaders): Buffer {
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
  for (const [name, value] of pairs(headers)) lines.push(`${name}: ${value}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}
