/** Writes what was asked to the audit: the first of its kind at once, repeats counted and written when the window ends. */
import type { Address } from '#base/address.ts'
import type { Clock } from '#base/clock.ts'
import type { Audit, AuditRecord, Ids } from '#contracts/audit-record.ts'
import type { AgentId } from '#policy/types.ts'
import type { DnsFinding } from './answer.ts'

/** One question and what became of it. Every question is told to the tally exactly once. */
export interface AskedQuestion {
  readonly agent: AgentId | undefined
  readonly peer: Address | undefined
  readonly proto: 'udp' | 'tcp'
  /** Lower case; `undefined` when it could not be read. */
  readonly name: string | undefined
  /** Labels, not what came over the wire. */
  readonly qtype: string
  readonly rcode: string
  readonly finding: DnsFinding
  readonly bytesUp: number
  readonly bytesDown: number
  /** Milliseconds. */
  readonly duration: number
  readonly resolver?: string | undefined
  /** Of the policy in force; when it changes the window ends, so that no record speaks for two policies. */
  readonly policyHash: string | undefined
}

interface Sum {
  readonly first: AskedQuestion
  /** Until its window ends. */
  isOpen: boolean
  count: number
  bytesUp: number
  bytesDown: number
  duration: number
}

/** Where a question was counted, for those that are the same. */
export interface CountedQuestion {
  readonly isOpen: boolean
}

/** Milliseconds in which repeats are counted into one record. */
export const windowLength = 10_000
/** Names told apart in one window, of one agent and of all; the rest are counted together without their names. */
export const distinctNames = { agent: 256, everyone: 4096 } as const

/** Owns the counts of the running window. The sum of `count` over all records is the number of questions. */
export class QuestionLog {
  readonly #ports: { readonly audit: Audit; readonly ids: Ids; readonly clock: Clock }
  readonly #sums = new Map<string, Sum>()
  readonly #names = new Map<string, number>()
  #policyHash: string | undefined
  #named = 0
  #timer: NodeJS.Timeout | undefined

  constructor(ports: { readonly audit: Audit; readonly ids: Ids; readonly clock: Clock }) {
    this.#ports = ports
  }

  count(asking: AskedQuestion): CountedQuestion {
    if (asking.policyHash !== this.#policyHash) this.flush()
    this.#policyHash = asking.policyHash
    const { finding, proto, qtype, rcode, peer } = asking
    const who = asking.agent ?? ''
    const kind = `${who} ${qtype} ${rcode} ${proto} ${finding.outcome} ${finding.verdict} ${finding.code ?? ''} `
    const key = `${kind}${asking.name ?? ''} ${asking.agent === undefined ? peer : ''}`
    const sum = this.#sums.get(key)
    if (sum) return add(sum, asking, asking.duration)
    if (this.#admit(who)) return this.#open(key, asking)
    const rest = this.#sums.get(kind)
    return rest ? add(rest, asking, asking.duration) : this.#open(kind, { ...asking, name: undefined })
  }

  /** Counts a question that differs from one before in its duration alone, at the same place while its window lasts. */
  repeat(before: CountedQuestion, asking: AskedQuestion, duration: number): CountedQuestion {
    return before.isOpen ? add(before as Sum, asking, duration) : this.count({ ...asking, duration })
  }

  /** Ends the window now: writes what was counted. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const sums = [...this.#sums.values()]
    this.#sums.clear()
    this.#names.clear()
    this.#named = 0
    for (const sum of sums) {
      sum.isOpen = false
      if (sum.count > 0) this.#write(sum)
    }
  }

  #admit(who: string): boolean {
    const names = this.#names.get(who) ?? 0
    if (names >= distinctNames.agent || this.#named >= distinctNames.everyone) return false
    this.#names.set(who, names + 1)
    this.#named += 1
    return true
  }

  #open(key: string, first: AskedQuestion): Sum {
    const sum: Sum = { first, isOpen: true, count: 0, bytesUp: 0, bytesDown: 0, duration: 0 }
    this.#sums.set(key, sum)
    this.#timer ??= setTimeout(() => this.flush(), windowLength).unref()
    const { bytesUp, bytesDown, duration } = first
    this.#write({ first, count: 1, bytesUp, bytesDown, duration })
    return sum
  }

  #write({ first, count, bytesUp, bytesDown, duration }: Omit<Sum, 'isOpen'>): void {
    const { agent, peer, name, proto, qtype, rcode, finding } = first
    const record: AuditRecord = {
      id: this.#ports.ids.next(),
      time: new Date(this.#ports.clock.now()).toISOString(),
      type: 'dns',
      event: 'exchange',
      agent: agent ?? null,
      peer: peer ?? 'unknown',
      door: 'dns',
      protocol: 'dns',
      host: name,
      rule: finding.rule,
      verdict: finding.verdict,
      code: finding.code,
      reason: finding.reason,
      swaps: [],
      bytesUp,
      bytesDown,
      // The mean, so that a repeated question does not look like a slow one.
      duration: Math.round((duration / count) * 1000) / 1000,
      upstream: first.resolver,
      policyHash: first.policyHash,
      dns: { qtype, rcode, outcome: finding.outcome, proto },
      count,
    }
    this.#ports.audit.write(record)
  }
}

function add(sum: Sum, { bytesUp, bytesDown }: AskedQuestion, duration: number): Sum {
  sum.count += 1
  sum.bytesUp += bytesUp
  sum.bytesDown += bytesDown
  sum.duration += duration
  return sum
}
