import type { Socket } from 'node:net'
import { ProxyError } from '#base/errors.ts'
import type { RequestBody } from '#contracts/request.ts'
import { chunkPrefix, joinHead, lastChunk, lastChunkWith } from '#wire/write.ts'

/** Bytes up to which a chunk is copied into one write with what stands around it; larger ones are written beside it. */
export const mostCopied = 16 * 1024

interface UploadOptions {
  readonly head: string
  readonly body: RequestBody
  readonly chunked: boolean
  /** A chunk has gone out. */
  readonly moved: () => void
  readonly failed: (error: Error) => void
}

/** A request head and its body on their way to an upstream, as fast as it takes them. */
export class Upload {
  /** All of it has been written. */
  done = false
  readonly #socket: Socket
  readonly #options: UploadOptions
  /** Not written yet: it waits for the first chunk, so that both leave in one write. */
  #head: string | undefined
  #stopped = false
  #left: number | undefined
  #waiting: (() => void) | undefined

  constructor(socket: Socket, options: UploadOptions) {
    this.#socket = socket
    this.#options = options
    this.#head = options.head
    this.#left = options.chunked ? undefined : options.body.length
  }

  /** Never rejects. */
  async run(): Promise<void> {
    // A host may answer by the head alone: it waits for no body that is yet to come.
    const soon = setImmediate(() => this.#writeHead())
    const chunks = this.#options.body.chunks[Symbol.asyncIterator]()
    try {
      for (;;) {
        const step = await chunks.next()
        if (this.#stopped) return void chunks.return?.()
        if (step.done) break
        if (!this.#write(step.value)) await this.#drain()
        if (this.#stopped) return void chunks.return?.()
        this.#options.moved()
      }
      this.#end()
    } catch (error) {
      if (!this.#stopped) this.#options.failed(error as Error)
    } finally {
      clearImmediate(soon)
    }
  }

  /** The socket takes more again. */
  drained(): void {
    this.#waiting?.()
    this.#waiting = undefined
  }

  /** Nothing more is written: the reply is there, or the connection is lost. */
  stop(): void {
    this.#stopped = true
    this.drained()
  }

  #writeHead(): void {
    if (this.#head === undefined || this.#stopped) return
    this.#socket.write(this.#head, 'latin1')
    this.#head = undefined
  }

  #write(chunk: Uint8Array): boolean {
    const { chunked } = this.#options
    if (chunk.length === 0) return true
    if (this.#left !== undefined) {
      this.#left -= chunk.length
      if (this.#left < 0) throw new ProxyError('bad_framing', 'the body is longer than Content-Length says')
    }
    if (this.#head !== undefined && chunk.length <= mostCopied) {
      const joined = joinHead(this.#head, chunk, chunked, false)
      this.#head = undefined
      return this.#socket.write(joined)
    }
    this.#writeHead()
    if (!chunked) return this.#socket.write(chunk)
    this.#socket.cork()
    this.#socket.write(chunkPrefix(chunk.length), 'latin1')
    this.#socket.write(chunk)
    const more = this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    return more
  }

  #end(): void {
    if (this.#left !== undefined && this.#left > 0)
      throw new ProxyError('bad_framing', 'the body is shorter than Content-Length says')
    this.#writeHead()
    if (this.#options.chunked) {
      const trailers = this.#options.body.trailers()
      if (trailers.length > 0) this.#socket.write(lastChunkWith(trailers), 'latin1')
      else this.#socket.write(lastChunk)
    }
    this.done = true
  }

  #drain(): Promise<void> {
    return new Promise((resolve) => (this.#waiting = resolve))
  }
}
