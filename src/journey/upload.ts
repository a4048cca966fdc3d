import { ProxyError } from '#base/errors.ts'
import type { RealValues, RealValueWatch } from '#credentials/scrub/real-values.ts'
import { requestHeaders } from './headers.ts'
import type { RequestBody } from '#contracts/request.ts'
import type { Trace } from './settle.ts'

/**
 * The body on its way out: counted, and watched for real values that the agent must not hold. Nothing in it is ever
 * changed. Throws `real_value_seen` before the chunk that would complete such a value is sent, or before the end when it
 * stands in a trailer.
 */
export function upload(body: RequestBody, seen: Trace, realValues: RealValues): RequestBody {
  return {
    ...body,
    chunks: new Watched(body, seen, realValues),
    trailers: () => requestHeaders(body.trailers(), { decode: false }),
  }
}

/** Goes through the chunks of a body by its promises: an async generator would add three to each. */
class Watched implements AsyncIterableIterator<Uint8Array> {
  readonly #body: RequestBody
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #seen: Trace
  readonly #realValues: RealValues
  readonly #watch: RealValueWatch
  #over = false

  constructor(body: RequestBody, seen: Trace, realValues: RealValues) {
    this.#body = body
    this.#chunks = body.chunks[Symbol.asyncIterator]()
    this.#seen = seen
    this.#realValues = realValues
    this.#watch = realValues.watch()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    return this.#over ? Promise.resolve(over) : this.#chunks.next().then(this.#take, this.#broken)
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#over = true
    return this.#chunks.return?.().then(() => over) ?? Promise.resolve(over)
  }

  readonly #take = (step: IteratorResult<Uint8Array>): IteratorResult<Uint8Array> => {
    if (step.done) {
      this.#over = true
      refuse(this.#realValues.find(this.#body.trailers().join('\n')), this.#seen)
      return over
    }
    const found = this.#watch.feed(step.value)
    if (found !== undefined) void this.return()
    refuse(found, this.#seen)
    this.#seen.bytesUp += step.value.length
    return step
  }

  readonly #broken = (error: unknown): never => {
    this.#over = true
    throw error
  }
}

const over: IteratorReturnResult<undefined> = { value: undefined, done: true }

function refuse(credential: string | undefined, seen: Trace): void {
  if (credential === undefined) return
  seen.credential = credential
  throw new ProxyError('real_value_seen', `the request body carries the real value of ${credential}`)
}
