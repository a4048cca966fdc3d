import type { Clock } from '#base/clock.ts'
import type { Counted } from '#base/usage.ts'
import { unsent } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Reservation } from '#metering/reservation.ts'
import type { BudgetRefusal } from '#metering/notice.ts'
import type { Counter, Notice, ReplyFilter, ReplyKind, Shape } from '#providers/types.ts'
import type { Denial, Rule } from '#policy/types.ts'
import type { RequestBody } from '#contracts/request.ts'
import type { MeteredBill } from './settle.ts'

/** Milliseconds a reply that is to end may take to come to the end of an event. */
const patience = 50

/** Faults of a provider that gave no reply at all: it has nothing to charge for. */
const unanswered: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['upstream_reset', 'upstream_protocol'])

/** Bytes that come before the provider's error when the reply cannot be brought to the end of an event. */
const eventEnd = Buffer.from('\n\n')

/** A change of the request that makes its reply report its usage. */
export interface Amendment {
  /** Names that a server which refuses the change has in its error. */
  readonly fields: readonly string[]
  /** The body without it. */
  readonly before: RequestBody
  readonly filter: ReplyFilter | undefined
}

/** What a metered request does to its reply. */
export interface MeteredOptions {
  readonly clock: Clock
  /** The word for it in the policy. */
  readonly meter: string
  /** `undefined`: the rule's fixed price is charged, and nothing is counted. */
  readonly shape: Shape | undefined
  readonly stream: boolean
  readonly body: RequestBody | undefined
  /** What the meter has changed in the request. */
  readonly amendment: Amendment | undefined
  readonly requestId: string
  /** Ends the exchange: nothing more is wanted from the upstream. */
  readonly stop: () => void
}

/**
 * One metered exchange: watches its reply go by, ends it where its budget is used up, and settles what it cost. The bytes are
 * passed on before they are looked at.
 */
export class Metered {
  readonly kind = 'metered'
  /** What is sent: read whole, and amended where the provider reports usage only when asked. */
  body: RequestBody | undefined
  /** What the meter has changed in the request, as long as that is not taken back. */
  amendment: Amendment | undefined
  /** Why the reply was ended. */
  refusal: BudgetRefusal | undefined
  /** Something was, or may have been, sent. */
  sent = false
  readonly #options: MeteredOptions
  #held: Reservation | undefined
  #reply: ReplyKind | undefined
  #counter: Counter | undefined
  #complete = false
  /** The last four bytes that passed, to know whether an event has just ended. */
  #tail = 0x0a0a
  #finish: ((ending: Uint8Array | undefined) => void) | undefined
  #undo: (() => void) | undefined

  constructor(options: MeteredOptions) {
    this.#options = options
    this.body = options.body
    this.amendment = options.amendment
  }

  /** Takes the amendment back: the upstream refuses it. */
  withoutAmendment(): RequestBody | undefined {
    this.body = this.amendment?.before ?? this.body
    this.amendment = undefined
    return this.body
  }

  /** What is held for it; there is none until the desk has let it in. */
  enter(held: Reservation): void {
    this.#held = held
  }

  /** Whether the length the upstream announces may not hold. */
  mayEnd({ contentType }: ReplyKind): boolean {
    return this.amendment?.filter !== undefined || contentType !== 'application/json'
  }

  /** The same for those who know no budgets. */
  get denial(): Denial | undefined {
    return this.refusal && denialOf(this.refusal)
  }

  /** How far the limits of a subscription are used, as the reply says. */
  get limits(): Readonly<Record<string, number>> | undefined {
    return this.#reply && this.#options.shape?.limits?.(this.#reply)
  }

  /** The reply begins. `finish` ends it towards the agent, with these last bytes or by breaking it off. */
  begin(reply: ReplyKind, finish: (ending: Uint8Array | undefined) => void): void {
    this.#reply = reply
    this.#finish = finish
    if (reply.status >= 200 && reply.status < 300) this.#counter = this.#options.shape?.counter(reply)
    if (this.refusal) this.cut(this.refusal)
  }

  /** What of these bytes the agent is meant to see. */
  filter(bytes: Uint8Array): Uint8Array {
    return this.amendment?.filter && this.#counter ? this.amendment.filter.push(bytes) : bytes
  }

  /** Looks at bytes that have been passed on. */
  watch(bytes: Uint8Array): void {
    if (!this.#counter || bytes.length === 0) return
    this.#counter.feed(bytes)
    for (let at = Math.max(0, bytes.length - 4); at < bytes.length; at += 1) this.#tail = (this.#tail << 8) | (bytes[at] ?? 0)
    if (this.refusal && this.#between) this.#end()
    else if (!this.refusal && this.#held?.watches) this.#held.follow(this.#counter)
  }

  /** The upstream has ended the reply; gives what the filter kept back. */
  ended(): Uint8Array {
    this.#complete = true
    return this.amendment?.filter && this.#counter ? this.amendment.filter.end() : new Uint8Array(0)
  }

  /** Ends the running reply at the end of an event, or soon where none ends. */
  cut(refusal: BudgetRefusal): void {
    this.refusal = refusal
    if (!this.#finish) return this.#options.stop()
    if (this.#between) return this.#end()
    this.#undo ??= this.#options.clock.later(patience, () => this.#end())
  }

  /** Charges or releases what was held; `fault`: why there was no whole reply. Never rejects. */
  async settle(fault: ErrorCode | undefined): Promise<MeteredBill | undefined> {
    this.#undo?.()
    this.#undo = undefined
    if (!this.#held) return undefined
    const status = this.#reply?.status
    const nothingSpent =
      status === undefined
        ? !this.sent || (fault !== undefined && (unsent.has(fault) || unanswered.has(fault)))
        : status < 200 || status >= 300
    if (nothingSpent) {
      await this.#held.release()
      return undefined
    }
    const complete = this.#complete && this.refusal === undefined
    const counted = this.#counter?.end(complete) ?? nothing
    const { shape, stream } = this.#options
    const bill = await this.#held.settle({ counted, complete, stream, afterAbort: shape && (shape.afterAbort ?? 'goes_on') })
    return { ...bill, meter: this.#options.meter }
  }

  get #between(): boolean {
    const between = this.#counter?.between?.()
    if (between !== undefined) return between
    return this.#reply?.contentType === 'text/event-stream' && endsEvent(this.#tail)
  }

  #end(): void {
    const { refusal } = this
    const finish = this.#finish
    if (!refusal || !finish || !this.#reply) return
    this.#finish = undefined
    const ending = this.#options.shape?.speech.cut(noticeOf(refusal, this.#options.requestId), this.#reply)
    const broken = ending && !this.#between
    if (broken && this.#reply.contentType === 'text/event-stream') finish(Buffer.concat([eventEnd, ending]))
    else finish(broken ? undefined : ending)
    this.#options.stop()
  }
}

/** Two line feeds, two carriage returns, or two of both (HTML Living Standard, section 9.2.6). */
function endsEvent(tail: number): boolean {
  const last = tail & 0xffff
  return last === 0x0a0a || last === 0x0d0d || tail === 0x0d0a0d0a
}

const nothing: Counted = { usage: undefined, final: false, visibleOutput: 0, failed: false, lost: false }

/** A refusal of the desk in the policy's words. */
export function denialOf({ code, reason, resetsAt }: BudgetRefusal, rule?: Rule): Denial {
  return { kind: 'deny', code, reason, rule, resetsAt }
}

function noticeOf({ code, reason, resetsAt }: BudgetRefusal, requestId: string): Notice {
  return {
    kind: code === 'budget_busy' ? 'unavailable' : 'budget',
    code,
    message: reason,
    requestId,
    resetsAt: resetsAt === undefined ? undefined : Math.ceil(resetsAt / 1000),
  }
}
