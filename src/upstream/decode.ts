import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib'
import { Transform } from 'node:stream'
import { ProxyError } from '#base/errors.ts'
import type { MemoryAccount, MemoryShare } from '#base/memory-account.ts'
import type { ReplySink } from '#contracts/reply.ts'
import type { RawHeaders } from '#contracts/request.ts'

/** Stacked codings past this are no client's wish (a decompression bomb multiplies with each). */
const most = 3

/** A decoder of `zstd` need not have a window past 8 MiB, 2 to the 23rd (RFC 9659 section 3); libzstd by itself takes 128 MiB. */
const zstdLimits = { params: { [constants.ZSTD_d_windowLogMax]: 23 } } as const

/**
 * Bytes that a decoder takes outside the heap, at most. zlib: a window of 32 KiB, its state, and a chunk of output. libzstd: the
 * window and two blocks. Brotli: the Huffman tables of 3 × 256 trees, and a window that the reply chooses.
 */
const sizes = { zlib: 64 * 1024, zstd: 9 << 20, brotliTables: 3 << 20, brotliWindow: 1 << 24 } as const

/** A reply that waits for the first byte of its body, which says how large the window of `br` is. */
interface Waiting {
  readonly status: number
  readonly headers: RawHeaders
  readonly codings: readonly string[]
}

/**
 * Undoes the content coding of a reply as it streams, in front of a sink that must read it. Each chunk is flushed as it
 * is decoded, so a compressed event stream stays one. Memory stays flat: a reader that stops, stops the decoder too, and the
 * windows of all decoders of an agent have to fit into its share. A reply without coding passes through.
 */
export class Decoder implements ReplySink {
  onDrain: () => void = nothing
  onStop: (error: ProxyError) => void = nothing
  readonly #sink: ReplySink
  readonly #memory: MemoryAccount
  readonly #agent: string | undefined
  #share: MemoryShare | undefined
  #stages: readonly Transform[] | undefined
  #running: PromiseWithResolvers<void> | undefined
  #waiting: Waiting | undefined

  constructor(sink: ReplySink, memory: MemoryAccount, agent: string | undefined) {
    this.#sink = sink
    this.#memory = memory
    this.#agent = agent
    const drained = (): void => this.#drained()
    sink.onDrain = drained
  }

  /**
   * Resolves once the decoded reply has passed on to its end; rejects with `ProxyError` when the coding is broken.
   * `undefined`: the reply has no coding, and is at its end with the one it comes from.
   */
  get done(): Promise<void> | undefined {
    return this.#running?.promise
  }

  informational(status: number, headers: RawHeaders): void {
    this.#sink.informational(status, headers)
  }

  head(status: number, headers: RawHeaders, last?: boolean): void {
    const applied = contentCodings(headers)
    if (applied.length === 0 || status === 204 || status === 304 || last) return this.#sink.head(status, headers, last)
    if (status === 206) throw new ProxyError('reply_undecodable', 'a part of an encoded reply cannot be decoded')
    if (applied.length > most) throw new ProxyError('reply_undecodable', `the reply has ${applied.length} stacked codings`)
    if (!applied.every((coding) => makers.has(coding))) throw new ProxyError('reply_undecodable')
    const waiting = { status, headers, codings: applied.toReversed() }
    if (waiting.codings[0] === 'br') this.#waiting = waiting
    else this.#begin(waiting, undefined)
  }

  data(chunk: Uint8Array): boolean {
    if (this.#waiting && chunk.length > 0) this.#begin(this.#waiting, chunk[0])
    const first = this.#stages?.[0]
    if (first) return first.write(chunk)
    return this.#waiting !== undefined || this.#sink.data(chunk)
  }

  end(trailers: RawHeaders): void {
    if (this.#waiting) this.#begin(this.#waiting, undefined)
    const stages = this.#stages
    if (!stages) return this.#sink.end(trailers)
    stages.at(-1)?.once('end', () => {
      try {
        this.#sink.end(trailers)
        this.#running?.resolve()
      } catch (error) {
        this.#fail(error as ProxyError)
      }
    })
    stages[0]?.end()
  }

  /** Gives the windows back. */
  close(): void {
    for (const stage of this.#stages ?? []) stage.destroy()
    this.#share?.[Symbol.dispose]()
  }

  /** `first`: the first byte of the coded body. Throws `reply_overloaded` when the windows do not fit. */
  #begin({ status, headers, codings }: Waiting, first: number | undefined): void {
    this.#waiting = undefined
    this.#share = this.#memory.open(this.#agent)
    const bytes = codings.reduce((sum, coding, i) => sum + sizeOf(coding, i === 0 ? first : undefined), 0)
    if (!this.#share.take(bytes))
      throw new ProxyError('reply_overloaded', `decoding the reply takes ${bytes} bytes, and there is no room`)
    this.#stages = codings.map((coding) => (makers.get(coding) ?? createGunzip)())
    this.#running = Promise.withResolvers()
    this.#running.promise.catch(nothing)
    this.#connect(this.#stages)
    this.#sink.head(status, without(headers, ['content-encoding', 'content-length']))
  }

  #connect(stages: readonly Transform[]): void {
    const last = stages.at(-1)
    stages.forEach((stage, i) => {
      stage.on('error', (cause) =>
        this.#fail(new ProxyError('upstream_protocol', 'the reply’s content coding is broken', { cause })),
      )
      const next = stages[i + 1]
      if (next) stage.pipe(next)
    })
    stages[0]?.on('drain', () => this.onDrain())
    last?.on('data', (chunk: Buffer) => {
      try {
        if (!this.#sink.data(chunk)) last.pause()
      } catch (error) {
        this.#fail(error as ProxyError)
      }
    })
  }

  #drained(): void {
    if (this.#stages) this.#stages.at(-1)?.resume()
    else this.onDrain()
  }

  #fail(error: ProxyError): void {
    this.#running?.reject(error)
    this.onStop(error)
  }
}

function nothing(): void {}

/** Codings in the order they were applied (RFC 9110 section 8.4), over as many lines as there are; `identity` left out. */
function contentCodings(headers: RawHeaders): readonly string[] {
  let codings: string[] | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (name.length !== 'content-encoding'.length || name.toLowerCase() !== 'content-encoding') continue
    codings ??= []
    for (const listed of (headers[i + 1] ?? '').split(',')) {
      const coding = listed.trim().toLowerCase()
      if (coding !== '' && coding !== 'identity') codings.push(coding)
    }
  }
  return codings ?? none
}

const none: readonly string[] = []

const makers: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ['gzip', () => createGunzip()],
  ['x-gzip', () => createGunzip()],
  ['br', () => createBrotliDecompress()],
  ['zstd', () => createZstdDecompress(zstdLimits)],
  ['deflate', inflate],
])

/** Bytes that the decoder of a coding takes. `first`: the first byte that it will read, if that is known. */
function sizeOf(coding: string, first: number | undefined): number {
  if (coding === 'br') return sizes.brotliTables + (first === undefined ? sizes.brotliWindow : brotliWindow(first))
  return coding === 'zstd' ? sizes.zstd : sizes.zlib
}

/** WBITS begins the stream (RFC 7932 section 9.1). The decoder itself refuses the large windows of a later draft. */
function brotliWindow(first: number): number {
  const three = (first >> 1) & 7
  const next = (first >> 4) & 7
  if ((first & 1) === 0) return 1 << 16
  if (three > 0) return 1 << (17 + three)
  return next > 1 ? 1 << (8 + next) : 1 << 17
}

/** `deflate` means zlib (RFC 9110 section 8.4.1.2), yet some servers send it raw: the first byte tells (RFC 1950 section 2.2). */
function inflate(): Transform {
  let inner: Transform | undefined
  const outer = new Transform({
    read(size) {
      inner?.resume()
      // oxlint-disable-next-line eslint/no-underscore-dangle -- Node's name for what this stands in front of
      Transform.prototype._read.call(this, size)
    },
    transform(chunk: Buffer, _encoding, done) {
      inner ??= begin(chunk)
      inner.write(chunk, () => done())
    },
    flush(done) {
      if (!inner) return done()
      inner.once('end', () => done())
      inner.end()
    },
  })
  const begin = (chunk: Buffer): Transform => {
    const started = ((chunk[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw()
    started.on('data', (out: Buffer) => {
      if (!outer.push(out)) started.pause()
    })
    started.on('error', (error) => outer.destroy(error))
    return started
  }
  return outer
}

function without(headers: RawHeaders, names: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (!names.includes(name.toLowerCase())) kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}
