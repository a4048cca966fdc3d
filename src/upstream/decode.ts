import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib'
import { Transform } from 'node:stream'
import { ProxyError } from '#base/errors.ts'
import type { ReplySink } from '#journey/ports.ts'
import type { RawHeaders } from '#journey/types.ts'

/** Stacked codings past this are no client's wish (a decompression bomb multiplies with each). */
const most = 3

/** A decoder of `zstd` need not have a window past 8 MiB, 2 to the 23rd (RFC 9659 section 3); libzstd by itself takes 128 MiB. */
const zstdLimits = { params: { [constants.ZSTD_d_windowLogMax]: 23 } } as const

export interface Decoding {
  /** What the encoded reply is written to. */
  readonly sink: ReplySink
  /**
   * Resolves once the decoded reply has passed on to its end; rejects with `ProxyError` when the coding is broken.
   * `undefined`: the reply has no coding, and is at its end with the one it comes from.
   */
  readonly done: () => Promise<void> | undefined
}

/**
 * Undoes the content coding of a reply as it streams, in front of a sink that must read it. Each chunk is flushed as it
 * is decoded, so a compressed event stream stays one. Memory stays flat: a reader that stops, stops the decoder too.
 */
export function decoding(sink: ReplySink): Decoding {
  let stages: Transform[] = []
  let running: PromiseWithResolvers<void> | undefined
  const fail = (error: unknown) => {
    running?.reject(error)
    outer.onStop?.(error as ProxyError)
  }
  const outer: ReplySink = {
    onDrain: () => {},
    informational: (status, headers) => sink.informational(status, headers),
    head(status, headers, last) {
      const codings = contentCodings(headers)
      if (codings.length === 0 || status === 204 || status === 304 || last) return sink.head(status, headers, last)
      if (status === 206) throw new ProxyError('reply_undecodable', 'a part of an encoded reply cannot be decoded')
      stages = chain(codings.toReversed())
      running = Promise.withResolvers()
      running.promise.catch(() => {})
      connect(stages, sink, fail, () => outer.onDrain())
      sink.head(status, without(headers, ['content-encoding', 'content-length']))
    },
    data(chunk) {
      const [first] = stages
      return first ? first.write(chunk) : sink.data(chunk)
    },
    end(trailers) {
      const [first] = stages
      if (!first) return sink.end(trailers)
      stages.at(-1)?.once('end', () => {
        try {
          sink.end(trailers)
          running?.resolve()
        } catch (error) {
          fail(error)
        }
      })
      first.end()
    },
  }
  const drained = () => (stages.length > 0 ? stages.at(-1)?.resume() : outer.onDrain())
  sink.onDrain = drained
  return { sink: outer, done: () => running?.promise }
}

function connect(stages: readonly Transform[], sink: ReplySink, fail: (error: ProxyError) => void, drained: () => void): void {
  const last = stages.at(-1)
  stages.forEach((stage, i) => {
    stage.on('error', (cause) => fail(new ProxyError('upstream_protocol', 'the reply’s content coding is broken', { cause })))
    const next = stages[i + 1]
    if (next) stage.pipe(next)
  })
  stages[0]?.on('drain', drained)
  last?.on('data', (chunk: Buffer) => {
    if (!sink.data(chunk)) last.pause()
  })
}

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

function chain(codings: readonly string[]): Transform[] {
  if (codings.length > most) throw new ProxyError('reply_undecodable', `the reply has ${codings.length} stacked codings`)
  return codings.map((coding) => {
    switch (coding) {
      case 'gzip':
      case 'x-gzip':
        return createGunzip()
      case 'br':
        return createBrotliDecompress()
      case 'zstd':
        return createZstdDecompress(zstdLimits)
      case 'deflate':
        return inflate()
      default:
        throw new ProxyError('reply_undecodable')
    }
  })
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
