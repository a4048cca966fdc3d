import { replyFaults } from './faults.ts'
import { MessageReader } from './message-reader.ts'
import { isInterim, readReplyHead } from './reply-head.ts'
import type { Framing, ReplyEvents, WireLimits, WireRefusal, WireReplyHead } from './types.ts'

/** Replies of one connection (RFC 9112 section 4), each to a request whose method is given before. */
export class ReplyReader extends MessageReader {
  readonly #events: ReplyEvents
  #method = 'GET'
  #head: WireReplyHead | undefined

  constructor(limits: WireLimits, events: ReplyEvents) {
    super(limits, events, replyFaults, false)
    this.#events = events
  }

  /** The next reply answers a request of this method: to HEAD it has no body. */
  expect(method: string): void {
    this.#method = method
  }

  protected judge(text: string): WireRefusal | undefined {
    const head = readReplyHead(text, this.#method, this.limits)
    if ('code' in head) return head
    this.#head = head
    return undefined
  }

  protected framing(): Framing | undefined {
    return this.#head && isInterim(this.#head.status) ? undefined : this.#head?.framing
  }

  protected announce(): void {
    const head = this.#head
    this.#head = undefined
    if (!head) return
    if (isInterim(head.status)) this.#events.informational(head)
    else this.#events.head(head)
  }
}
