import type { Readable } from 'node:stream'
import { ProxyError } from '#base/errors.ts'

/** Bytes that wait for whoever reads, after which the agent is held up. */
const mostQueued = 64 * 1024

/**
 * The agent's body as it comes. Whoever reads it may stop early (an early reply, a broken upstream) without destroying
 * the stream, and with it the connection that the answer has yet to be written to. A stream that broke before it was
 * read throws its error all the same.
 */
export function chunksOf(stream: Readable): AsyncIterable<Uint8Array> {
  return new Chunks(stream)
}

/**
 * Each chunk goes on in the turn it came in. A stream's own iterator reads one turn later, joins what has come meanwhile into
 * one buffer, and a large upload costs twice as much.
 */
class Chunks implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: Readable
  #queue: Uint8Array[] = []
  #queued = 0
  #flowing = false
  #ended = false
  #broken: Error | undefined
  #waiting: PromiseWithResolvers<IteratorResult<Uint8Array>> | undefined

  constructor(stream: Readable) {
    this.#stream = stream
    stream.once('error', (error) => this.#break(error))
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const value = this.#queue.shift()
    if (value) {
      this.#queued -= value.length
      return Promise.resolve({ value, done: false })
    }
    if (this.#broken) return Promise.reject(this.#broken)
    if (this.#ended) return Promise.resolve(over)
    this.#waiting = Promise.withResolvers()
    const { promise } = this.#waiting
    if (this.#flowing) this.#stream.resume()
    else this.#begin()
    return promise
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#ended = true
    this.#queue = []
    if (this.#flowing) this.#stream.off('data', this.#take).pause()
    return Promise.resolve(over)
  }

  #begin(): void {
    this.#flowing = true
    this.#stream.on('data', this.#take)
    this.#stream.once('end', () => this.#end())
    this.#stream.once('close', () => this.#break(new ProxyError('client_closed')))
    if (this.#stream.readableEnded) this.#end()
    else if (this.#stream.destroyed) this.#break(new ProxyError('client_closed'))
  }

  readonly #take = (chunk: Uint8Array): void => {
    const waiting = this.#waiting
    if (waiting) {
      this.#waiting = undefined
      return waiting.resolve({ value: chunk, done: false })
    }
    this.#queue.push(chunk)
    this.#queued += chunk.length
    if (this.#queued >= mostQueued) this.#stream.pause()
  }

  #end(): void {
    this.#ended = true
    this.#waiting?.resolve(over)
  }

  #break(error: Error): void {
    if (this.#ended) return
    this.#broken ??= error
    this.#waiting?.reject(this.#broken)
  }
}

const over: IteratorReturnResult<undefined> = { value: undefined, done: true }
