import { requestFaults } from './faults.ts'
import { noBody } from './framing.ts'
import { MessageReader } from './message-reader.ts'
import { readRequestHead } from './request-head.ts'
import type { Framing, RequestEvents, WireLimits, WireRefusal, WireRequestHead } from './types.ts'

/** Requests of one connection (RFC 9112 section 3). */
export class RequestReader extends MessageReader {
  readonly #events: RequestEvents
  #head: WireRequestHead | undefined

  constructor(limits: WireLimits, events: RequestEvents) {
    super(limits, events, requestFaults, true)
    this.#events = events
  }

  protected judge(text: string): WireRefusal | undefined {
    const head = readRequestHead(text, this.limits)
    if ('code' in head) return head
    this.#head = head
    return undefined
  }

  protected framing(): Framing {
    return this.#head?.framing ?? noBody
  }

  protected announce(): void {
    const head = this.#head
    this.#head = undefined
    if (head) this.#events.head(head)
  }
}
