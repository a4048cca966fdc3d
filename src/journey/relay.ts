import { Scrubber } from '#credentials/restub.ts'
import type { ScrubPatterns } from '#credentials/restub.ts'
import { replyHeaders } from './headers.ts'
import type { Client, ReplySink, Upgraded } from './ports.ts'
import type { Trace } from './settle.ts'
import type { RawHeaders } from './types.ts'

/**
 * The way back: hop-by-hop headers go, real values become stubs, the rest passes at once. What it sees it writes into
 * the trace.
 */
export class Relay implements ReplySink {
  onDrain: () => void = () => {}
  readonly #client: Client
  readonly #seen: Trace
  readonly #now: () => number
  readonly #bodyless: boolean
  readonly #scrubber: Scrubber | undefined

  constructor(client: Client, seen: Trace, options: { readonly now: () => number; readonly bodyless: boolean; readonly scrub: ScrubPatterns | undefined }) {
    this.#client = client
    this.#seen = seen
    this.#now = options.now
    this.#bodyless = options.bodyless
    this.#scrubber = options.scrub && new Scrubber(options.scrub)
    client.onDrain = () => this.onDrain()
  }

  informational(status: number, headers: RawHeaders): void {
    this.#client.informational(status, this.#clean(replyHeaders(headers, { reframed: true })))
  }

  head(status: number, headers: RawHeaders): void {
    this.#seen.status = status
    this.#seen.repliedAt = this.#now()
    const bodyless = this.#bodyless || status === 204 || status === 304
    const reframed = this.#scrubber !== undefined && !bodyless
    this.#client.head(status, this.#clean(replyHeaders(headers, { reframed })))
  }

  data(chunk: Uint8Array): boolean {
    const out = this.#scrubber ? this.#scrubber.push(chunk) : chunk
    if (out.length === 0) return true
    this.#seen.bytesDown += out.length
    return this.#client.data(out)
  }

  end(trailers: RawHeaders): void {
    const rest = this.#scrubber?.end()
    if (rest && rest.length > 0) {
      this.#seen.bytesDown += rest.length
      this.#client.data(rest)
    }
    this.#client.end(this.#clean(replyHeaders(trailers, { reframed: false })))
    this.report()
  }

  /** The head of a switch of protocols; what is said after it is not looked into. */
  upgraded({ headers, socket }: Upgraded): Upgraded {
    this.#seen.repliedAt = this.#now()
    return { headers: this.#clean(replyHeaders(headers, { reframed: true })), socket }
  }

  /** Writes what was taken out into the trace; also when the reply broke off. */
  report(): void {
    const hits = this.#scrubber?.hits
    if (hits && hits.size > 0) this.#seen.scrubbed = Object.fromEntries(hits)
  }

  /** A host that knows a real value may mint a session from it: no cookie of it reaches the agent either. */
  #clean(headers: string[]): string[] {
    if (!this.#scrubber) return headers
    const kept: string[] = []
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? ''
      if (name.toLowerCase() !== 'set-cookie') kept.push(name, this.#scrubber.scrubText(headers[i + 1] ?? ''))
    }
    return kept
  }
}
