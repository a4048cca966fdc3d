import type { Readable } from 'node:stream'
import { ProxyError } from '#base/errors.ts'

/** Bytes that wait for a reader, after which the agent is held up. */
const mostQueued = 64 * 1024
/** Bytes of the heap that a queued chunk takes beside its own: an agent may send chunks of one byte. */
const chunkCost = 128

/** Where the bytes come from: held up when nobody reads them. */
export interface BodySource {
  pause(): void
  resume(): void
}

/**
 * The agent's body as it comes. A reader may stop early (an early reply, a broken upstream) without destroying the connection that
 * the answer has yet to be written to. A body that broke before it was read throws its error all the same.
 *
 * Each chunk goes on in the turn it came in. A stream's own iterator reads one turn later, joins what has come meanwhile into
 * one buffer, and a large upload costs twice as much.
 */
export class BodyQueue implements AsyncIterableIterator<Uint8Array> {
  readonly #source: BodySource
  #queue: Uint8Array[] = []
  #queued = 0
  #held = false
  #left = false
  #ended = false
  #broken: Error | undefined
  #waiting: PromiseWithResolvers<IteratorResult<Uint8Array>> | undefined

  constructor(source: BodySource) {
    this.#source = source
  }

  /** The reader has stopped: what still comes is of no use. */
  get left(): boolean {
    return this.#left
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const value = this.#queue.shift()
    if (value) {
      this.#queued -= value.length + chunkCost
      return Promise.resolve({ value, done: false })
    }
    if (this.#broken) return Promise.reject(this.#broken)
    if (this.#ended || this.#left) return Promise.resolve(over)
    this.#waiting = Promise.withResolvers()
    const { promise } = this.#waiting
    if (this.#held) {
      this.#held = false
      this.#source.resume()
    }
    return promise
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#left = true
    this.#queue = []
    this.#queued = 0
    return Promise.resolve(over)
  }

  push(chunk: Uint8Array): void {
    const waiting = this.#waiting
    if (waiting) {
      this.#waiting = undefined
      return waiting.resolve({ value: chunk, done: false })
    }
    if (!this.#left) {
      this.#queue.push(chunk)
      this.#queued += chunk.length + chunkCost
    }
    if (!this.#left && this.#queued < mostQueued) return
    this.#held = true
    this.#source.pause()
  }

  finish(): void {
    this.#ended = true
    this.#waiting?.resolve(over)
    this.#waiting = undefined
  }

  fail(error: Error): void {
    if (this.#ended) return
    this.#broken ??= error
    this.#waiting?.reject(this.#broken)
    this.#waiting = undefined
  }
}

const over: IteratorReturnResult<undefined> = { value: undefined, done: true }

/** The body of a stream, read only once somebody asks for it. */
export function chunksOf(stream: Readable): AsyncIterable<Uint8Array> {
  const queue = new BodyQueue(stream)
  let begun = false
  const take = (chunk: Uint8Array): void => queue.push(chunk)
  stream.once('error', (error) => queue.fail(error))
  const begin = (): void => {
    begun = true
    stream.on('data', take)
    stream.once('end', () => queue.finish())
    // RST_STREAM before END_STREAM ends the stream too, even with NO_ERROR; Node says first that it was aborted.
    stream.once('aborted', () => queue.fail(new ProxyError('client_closed')))
    stream.once('close', () => queue.fail(new ProxyError('client_closed')))
    if (stream.readableEnded) queue.finish()
    else if (stream.destroyed) queue.fail(new ProxyError('client_closed'))
  }
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        const step = queue.next()
        if (!begun) begin()
        return step
      },
      return() {
        if (begun) stream.off('data', take).pause()
        return queue.return()
      },
    }),
  }
}
