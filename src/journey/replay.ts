import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders, RequestBody } from '#contracts/request.ts'
import type { RefusedReply } from './refused-values.ts'
import { isWhole } from './whole-body.ts'

/** Bytes of a body that are kept so that it can be sent once more. A model call with its whole context is smaller. */
const most = 8 << 20
/** Bytes of such a reply that are looked at before it is passed on. */
const mostRefusal = 16 * 1024

/**
 * A body that can be sent twice as long as it is small enough. Both sendings read the same chunks by their number, so
 * that what the first was just waiting for when it was broken off is not lost to the second.
 */
export class Replayable {
  readonly #body: RequestBody
  readonly #most: number
  /** Number of the newest reading. An older one that is not done yet stops, so that it drops nothing that the newer one needs. */
  #reading = 0
  readonly #source: AsyncIterator<Uint8Array>
  #chunks: Uint8Array[] = []
  /** How many chunks from the beginning are no longer kept. */
  #dropped = 0
  #size = 0
  /** Bytes of it that its agent's room holds. */
  #counted = 0
  #ended = false
  #pulling: Promise<void> | undefined

  /** `bytes`: how many are kept. */
  constructor(body: RequestBody, bytes = most) {
    this.#body = body
    this.#most = bytes
    this.#source = body.chunks[Symbol.asyncIterator]()
  }

  first(): RequestBody {
    return { ...this.#body, chunks: this.#read(++this.#reading) }
  }

  /** `undefined`: too much has passed to be said again. */
  again(): RequestBody | undefined {
    return this.#size > this.#most && !isWhole(this.#body) ? undefined : this.first()
  }

  async *#read(reading: number): AsyncGenerator<Uint8Array> {
    for (let next = 0; ; next += 1) {
      while (reading === this.#reading && next - this.#dropped >= this.#chunks.length) {
        if (this.#ended) return
        await (this.#pulling ??= this.#pull())
      }
      if (reading !== this.#reading) return
      const chunk = this.#chunks[next - this.#dropped]
      if (this.#size > this.#most) this.#drop(next + 1)
      if (chunk) yield chunk
    }
  }

  async #pull(): Promise<void> {
    try {
      const { done, value } = await this.#source.next()
      if (done) this.#ended = true
      else this.#chunks.push(value)
      if (!done) this.#count(value.length)
    } finally {
      this.#pulling = undefined
    }
  }

  /** A body for which its agent has no room left is sent once, as a long one. */
  #count(bytes: number): void {
    const { room } = this.#body
    this.#size += bytes
    if (this.#size <= this.#most && (isWhole(this.#body) || !room || room.take(bytes))) return void (this.#counted += bytes)
    if (!isWhole(this.#body)) room?.give(this.#counted)
    this.#counted = 0
    this.#size = Math.max(this.#size, this.#most + 1)
  }

  #drop(count: number): void {
    this.#chunks = this.#chunks.slice(count - this.#dropped)
    this.#dropped = count
  }
}

/**
 * Stands before the way back and catches the refusal of a value that has ended, since clients log out on it, or of a field that
 * the proxy added. Such a reply never reaches an agent.
 */
export class RefusalCatcher implements ReplySink {
  onDrain: () => void = () => {}
  /** The row that the reply meets. */
  caught: RefusedReply | undefined
  readonly #sink: ReplySink
  readonly #refusals: readonly RefusedReply[]
  /** Those that the body of a suspect may meet. */
  #rows: readonly RefusedReply[] = []
  #suspect:
    | {
        readonly status: number
        readonly headers: RawHeaders
        readonly last: boolean
        readonly chunks: Uint8Array[]
        size: number
      }
    | undefined

  constructor(sink: ReplySink, refusals: readonly RefusedReply[]) {
    this.#sink = sink
    this.#refusals = refusals
    const drained = () => this.onDrain()
    sink.onDrain = drained
  }

  informational(status: number, headers: RawHeaders): void {
    this.#sink.informational(status, headers)
  }

  head(status: number, headers: RawHeaders, last = false): void {
    this.#rows = this.#refusals.filter(
      (each) => each.status === status || (each.status === '4xx' && Math.floor(status / 100) === 4),
    )
    if (this.#rows.length === 0) return this.#sink.head(status, headers, last)
    this.caught = this.#rows.find(({ body }) => !body)
    if (!this.caught) this.#suspect = { status, headers, last, chunks: [], size: 0 }
  }

  data(chunk: Uint8Array): boolean {
    if (this.caught) return true
    if (!this.#suspect) return this.#sink.data(chunk)
    this.#suspect.chunks.push(Uint8Array.from(chunk))
    this.#suspect.size += chunk.length
    if (this.#suspect.size <= mostRefusal) return true
    this.#judge()
    return this.caught !== undefined || this.#release()
  }

  end(trailers: RawHeaders): void {
    this.#judge()
    if (this.caught) return
    this.#release()
    this.#sink.end(trailers)
  }

  #judge(): void {
    if (!this.#suspect) return
    const text = Buffer.concat(this.#suspect.chunks).toString('latin1')
    this.caught = this.#rows.find(({ body }) => body?.test(text))
  }

  #release(): boolean {
    const held = this.#suspect
    this.#suspect = undefined
    if (!held) return true
    this.#sink.head(held.status, held.headers, held.last)
    return held.chunks.map((chunk) => this.#sink.data(chunk)).every(Boolean)
  }
}
