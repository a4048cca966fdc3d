import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import { foldName } from '#base/header-name.ts'
import type { MemoryAccount, MemoryShare } from '#base/memory-account.ts'
import type { ScrubChain } from '#credentials/scrub/scrub-chain.ts'
import type { ReplyKind } from '#providers/types.ts'
import { headerValue, replyHeaders } from './headers.ts'
import type { Metered } from './metered.ts'
import type { Client, ReplySink, Upgraded } from '#contracts/reply.ts'
import type { Trace } from './settle.ts'
import type { RawHeaders } from '#contracts/request.ts'

/** Milliseconds without a byte after which kept bytes go out. */
const quiet = 10

/**
 * Bytes that a reply holds outside the heap while its agent does not read: what the agent's socket or stream queues (64 KiB), and
 * what the host's socket has read already (64 KiB). HTTP/1.1 replies that wait for their turn in a pipeline hold no more.
 */
const stalledBytes = 128 * 1024

/**
 * The way back: hop-by-hop headers go, real values become stubs, the rest passes at once. What it sees it writes into
 * the trace.
 */
export class Relay implements ReplySink {
  onDrain: () => void = () => {}
  readonly #client: Client
  readonly #seen: Trace
  readonly #clock: Clock
  readonly #bodyless: boolean
  readonly #scrubber: ScrubChain | undefined
  readonly #metered: Metered | undefined
  /** The agent has been told the end, although the upstream may go on. */
  #over = false
  readonly #memory: MemoryAccount
  readonly #agent: string | undefined
  /** While the agent does not read. */
  #stalled: MemoryShare | undefined
  #unflush: (() => void) | undefined

  constructor(
    client: Client,
    seen: Trace,
    options: {
      readonly clock: Clock
      readonly memory: MemoryAccount
      readonly agent: string | undefined
      readonly bodyless: boolean
      readonly scrub: ScrubChain | undefined
      readonly metered: Metered | undefined
    },
  ) {
    this.#client = client
    this.#seen = seen
    this.#clock = options.clock
    this.#memory = options.memory
    this.#agent = options.agent
    this.#bodyless = options.bodyless
    this.#scrubber = options.scrub
    this.#metered = options.metered
    const drained = () => this.#drained()
    client.onDrain = drained
  }

  informational(status: number, headers: RawHeaders): void {
    this.#client.informational(status, this.#clean(replyHeaders(headers, { reframed: true })))
  }

  head(status: number, headers: RawHeaders, last = false): void {
    this.#seen.status = status
    this.#seen.repliedAt = this.#clock.elapsed()
    const bodyless = this.#bodyless || status === 204 || status === 304
    const kind = this.#metered && replyKind(status, headers)
    const ends = kind !== undefined && this.#metered?.mayEnd(kind) === true
    const reframed = (this.#scrubber !== undefined || ends) && !bodyless
    this.#client.head(status, this.#clean(replyHeaders(headers, { reframed })), last)
    if (kind) this.#metered?.begin(kind, (ending) => this.#finish(ending))
  }

  /** Throws `reply_overloaded` where the agent does not read and its share of memory is used up. */
  data(chunk: Uint8Array): boolean {
    if (this.#over) return true
    const scrubber = this.#scrubber
    const more = this.#pass(scrubber ? scrubber.push(chunk) : chunk)
    if (scrubber && scrubber.held > 0) this.#flushLater(scrubber)
    if (!more && !this.#stalled) this.#stall()
    return more
  }

  end(trailers: RawHeaders): void {
    this.#unflush?.()
    if (this.#over) return
    if (this.#scrubber) this.#pass(this.#scrubber.end())
    if (this.#over) return
    if (this.#metered) this.#send(this.#metered.ended())
    this.#over = true
    this.#client.end(this.#clean(replyHeaders(trailers, { reframed: false })))
    this.report()
  }

  /** Ends the reply towards the agent before the upstream does: with these last bytes, or by breaking it off. */
  #finish(ending: Uint8Array | undefined): void {
    if (this.#over) return
    if (this.#scrubber) this.#pass(this.#scrubber.end())
    this.#unflush?.()
    this.#over = true
    if (!ending) return this.#client.abort()
    this.#send(ending)
    this.#client.end([])
  }

  /** The head of a switch of protocols; what is said after it is not looked into. */
  upgraded({ headers, socket }: Upgraded): Upgraded {
    this.#seen.repliedAt = this.#clock.elapsed()
    return { headers: this.#clean(replyHeaders(headers, { reframed: true })), socket }
  }

  /** Writes what was taken out into the trace; also when the reply broke off. */
  report(): void {
    this.#unflush?.()
    this.#stalled?.[Symbol.dispose]()
    const hits = this.#scrubber?.hits
    if (hits && hits.size > 0) this.#seen.scrubbed = Object.fromEntries(hits)
  }

  #stall(): void {
    this.#stalled = this.#memory.open(this.#agent)
    if (this.#stalled.take(stalledBytes)) return
    throw new ProxyError('reply_overloaded', 'the agent has too many replies open that it does not read')
  }

  #drained(): void {
    this.#stalled?.[Symbol.dispose]()
    this.#stalled = undefined
    this.onDrain()
  }

  #pass(bytes: Uint8Array): boolean {
    if (bytes.length === 0 || this.#over) return true
    if (!this.#metered) return this.#send(bytes)
    const more = this.#send(this.#metered.filter(bytes))
    // Passed on first: watching costs the agent no time.
    this.#metered.watch(bytes)
    return more
  }

  #send(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true
    this.#seen.bytesDown += bytes.length
    return this.#client.data(bytes)
  }

  /** The agent may be waiting for just the bytes that are kept back, and the host for the agent. */
  #flushLater(scrubber: ScrubChain): void {
    this.#unflush?.()
    this.#unflush = this.#clock.later(quiet, () => this.#pass(scrubber.flush()))
  }

  /** A host that knows a real value may mint a session from it: no cookie of it reaches the agent either. */
  #clean(headers: string[]): string[] {
    const scrubber = this.#scrubber
    if (!scrubber) return headers
    const clean = scrubber.isClean(headers)
    if (clean && !headers.some((text, i) => i % 2 === 0 && isCookie(text))) return headers
    const kept: string[] = []
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? ''
      const value = headers[i + 1] ?? ''
      if (isCookie(name)) continue
      if (clean) kept.push(name, value)
      // A name cannot be rewritten: what takes it as a hiding place goes whole.
      else if (scrubber.scrubText(name) === name) kept.push(name, scrubber.scrubText(value))
    }
    return kept
  }
}

function isCookie(name: string): boolean {
  return name.length === 'set-cookie'.length && foldName(name) === 'set-cookie'
}

function replyKind(status: number, headers: RawHeaders): ReplyKind {
  const [contentType = ''] = (headerValue(headers, 'content-type') ?? '').split(';', 1)
  return { status, contentType: contentType.trim().toLowerCase(), header: (name) => headerValue(headers, name) }
}
