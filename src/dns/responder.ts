/** From the bytes of a question to the bytes of its reply: screen, answer, forward, write, count. No server sockets here. */
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import { LruMap } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import { codeOf, errorTable } from '#base/errors.ts'
import { identifyAddress } from '#journey/identify.ts'
import type { Audit, Ids } from '#contracts/audit-record.ts'
import type { Owners } from '#contracts/owners.ts'
import type { Policies, Snapshot } from '#contracts/snapshot.ts'
import { TokenBucket } from './allowance.ts'
import type { DnsAllowance } from './allowance.ts'
import { answer, oursOf } from './answer.ts'
import type { DnsAnswer, Asker, DnsFinding, Ours } from './answer.ts'
import { rcodeLabel, rcodeNumber, typeLabel } from './codes.ts'
import { Forwarder } from './forward.ts'
import { assemble, writeOpt, writeReply } from './reply.ts'
import type { DnsReply } from './reply.ts'
import { Repeats, withId } from './repeats.ts'
import { QuestionLog } from './question-log.ts'
import type { AskedQuestion } from './question-log.ts'
import { headerSize, plainSize, readQuery } from './wire.ts'
import type { DnsQuestion, Query } from './wire.ts'

export interface ResponderOptions {
  /** Where agents reach the proxy: at most one address of each family is useful. */
  readonly advertise: readonly Address[]
  readonly policies: Policies
  /** Which pod has an address; left out: no cluster is watched. */
  readonly owners?: Owners | undefined
  readonly audit: Audit
  readonly ids: Ids
  readonly clock: Clock
}

type Proto = 'udp' | 'tcp'
/** `undefined`: silence. */
type Sent = Buffer | undefined

/** Refusals told to addresses that are no agent's: enough to debug with, too few to reflect a flood off. */
export const strangers: DnsAllowance = { burst: 100, perSecond: 50 }

/** A message over TCP has its length in two bytes. */
const streamSize = 65_535

/** What is known of one message while it is answered. */
interface Visit {
  readonly proto: Proto
  readonly peer: Address | undefined
  readonly asker: Asker
  readonly policyHash: string | undefined
  readonly bytesUp: number
  readonly startedAt: number
}

/** Answers messages of agents; owns what is counted and what is forwarded. */
export class Responder {
  readonly #options: ResponderOptions
  readonly #ours: Ours
  readonly #forwarder: Forwarder
  readonly #repeats = new Repeats()
  readonly #tally: QuestionLog
  readonly #strangers: TokenBucket
  readonly #waiting = new Set<Promise<Sent>>()
  readonly #addresses = new LruMap<string, Address>(4096)

  constructor(options: ResponderOptions) {
    this.#options = options
    this.#ours = oursOf(options.advertise)
    this.#forwarder = new Forwarder(options.clock)
    this.#tally = new QuestionLog(options)
    this.#strangers = new TokenBucket(strangers, options.clock.elapsed())
  }

  /**
   * Answers one message from `source`, an address as the socket tells it. A promise only when a resolver has to be
   * asked. Never throws and never rejects: what fails is SERVFAIL, counted as an error.
   */
  respond(message: Buffer, source: string, proto: Proto): Sent | Promise<Sent> {
    const visit = this.#visit(message, source, proto)
    const { asker } = visit
    const given = proto === 'udp' && asker.kind === 'agent' ? this.#repeats.find(asker, message) : undefined
    if (given) {
      given.counted = this.#tally.repeat(given.counted, given.asking, this.#options.clock.elapsed() - visit.startedAt)
      return withId(given.sent, message)
    }
    const reading = readQuery(message)
    const isSilent = reading.kind === 'drop' || (asker.kind === 'deny' && !this.#strangers.take(1, visit.startedAt))
    if (isSilent) return this.#ignore(visit, reading.kind === 'query' ? reading : undefined)
    if (reading.kind === 'unfit')
      return this.#say(visit, reading, { rcode: reading.rcode, answers: [], authority: [] }, malformed)
    try {
      const decided = answer(reading, asker, this.#ours)
      if (decided.kind === 'reply') return this.#tell(visit, message, reading, decided)
      return this.#await(this.#forward(visit, reading, decided).catch((error: unknown) => this.#fail(visit, reading, error)))
    } catch (error) {
      return this.#fail(visit, reading, error)
    }
  }

  /** Gives up on forwarded questions and writes what was counted. */
  async stop(): Promise<void> {
    this.#forwarder.stop()
    await Promise.all(this.#waiting)
    this.#tally.flush()
  }

  #await(reply: Promise<Sent>): Promise<Sent> {
    this.#waiting.add(reply)
    return reply.finally(() => this.#waiting.delete(reply))
  }

  #visit(message: Buffer, source: string, proto: Proto): Visit {
    const snapshot = this.#options.policies.current()
    const peer = this.#address(source)
    const startedAt = this.#options.clock.elapsed()
    return {
      proto,
      peer,
      asker: identifyAsker(snapshot, peer, this.#options.owners),
      policyHash: snapshot?.hash,
      bytesUp: message.length,
      startedAt,
    }
  }

  #address(source: string): Address | undefined {
    const known = this.#addresses.get(source)
    if (known) return known
    const address = parseAddress(source)
    if (address) this.#addresses.set(source, address)
    return address
  }

  async #forward(visit: Visit, query: Query, { agent, host, to }: Extract<DnsAnswer, { kind: 'forward' }>): Promise<Sent> {
    const got = await this.#forwarder.ask(agent, host, query, to)
    if (got.kind !== 'answer') {
      const isRefused = got.kind === 'refused'
      const reply: DnsReply = { rcode: isRefused ? 'REFUSED' : 'SERVFAIL', answers: [], authority: [], error: got.error }
      const finding: DnsFinding = {
        outcome: isRefused ? 'blocked' : 'forward',
        verdict: isRefused ? 'deny' : 'error',
        code: got.code,
        reason: got.error.text,
      }
      return this.#say(visit, query, reply, finding)
    }
    const { reply, resolver } = got
    const opt = writeOpt(query, { rcode: 'NOERROR' })
    const fits = headerSize + query.question.length + reply.records.length + opt.length <= limitOf(query, visit.proto)
    const records = fits ? [reply.records] : []
    const counts = fits ? { answers: reply.answers, authority: reply.authority } : { answers: 0, authority: 0 }
    const sent = assemble(query, {
      rcode: reply.rcode,
      authoritative: reply.authoritative,
      truncated: !fits,
      ...counts,
      records,
      opt,
    })
    this.#tally.count(this.#asking(visit, query, reply.rcode, { outcome: 'forward', verdict: 'allow' }, sent.length, resolver))
    return sent
  }

  /** Says what was decided, and keeps it for the next time. */
  #tell(visit: Visit, message: Buffer, query: Query, { reply, finding }: Extract<DnsAnswer, { kind: 'reply' }>): Buffer {
    const sent = writeReply(query, reply, limitOf(query, visit.proto))
    const asking = this.#asking(visit, query, rcodeNumber(reply.rcode), finding, sent.length)
    const counted = this.#tally.count(asking)
    if (visit.proto === 'udp' && visit.asker.kind === 'agent') this.#repeats.keep(visit.asker, message, { sent, asking, counted })
    return sent
  }

  #say(visit: Visit, asked: DnsQuestion | Query, reply: DnsReply, finding: DnsFinding): Buffer {
    const sent = writeReply(asked, reply, limitOf(asked, visit.proto))
    this.#tally.count(this.#asking(visit, asked, rcodeNumber(reply.rcode), finding, sent.length))
    return sent
  }

  #fail(visit: Visit, query: Query, error: unknown): Buffer {
    const finding: DnsFinding = { outcome: 'blocked', verdict: 'error', code: codeOf(error) }
    return this.#say(visit, query, { rcode: 'SERVFAIL', answers: [], authority: [] }, finding)
  }

  #ignore(visit: Visit, asked: Query | undefined): undefined {
    const { asker } = visit
    const refused: DnsFinding = asker.kind === 'deny' ? { outcome: 'blocked', verdict: 'deny', code: asker.code } : malformed
    this.#tally.count(this.#asking(visit, asked, undefined, asked ? refused : malformed, 0))
  }

  #asking(
    visit: Visit,
    asked: DnsQuestion | Query | undefined,
    rcode: number | undefined,
    finding: DnsFinding,
    bytesDown: number,
    resolver?: string,
  ): AskedQuestion {
    const { asker, peer, proto, bytesUp, startedAt, policyHash } = visit
    const isQuery = asked !== undefined && 'name' in asked
    return {
      agent: asker.kind === 'agent' ? asker.agent.id : undefined,
      peer,
      proto,
      name: isQuery ? asked.name.toLowerCase() : undefined,
      qtype: isQuery ? typeLabel(asked.type) : 'other',
      rcode: rcode === undefined ? 'none' : rcodeLabel(rcode),
      finding,
      bytesUp,
      bytesDown,
      duration: this.#options.clock.elapsed() - startedAt,
      resolver,
      policyHash,
    }
  }
}

function identifyAsker(snapshot: Snapshot | undefined, peer: Address | undefined, owners: Owners | undefined): Asker {
  if (!snapshot) return { kind: 'deny', code: 'no_policy', reason: errorTable.no_policy.message }
  if (!peer) return { kind: 'deny', code: 'agent_unknown', reason: errorTable.agent_unknown.message }
  const identity = identifyAddress(snapshot, peer, owners)
  return identity.kind === 'deny' ? identity : { kind: 'agent', agent: identity.agent, snapshot }
}

function limitOf(asked: DnsQuestion, proto: Proto): number {
  return proto === 'tcp' ? streamSize : (asked.ednsSize ?? plainSize)
}

const malformed: DnsFinding = {
  outcome: 'malformed',
  verdict: 'deny',
  code: 'dns_malformed',
  reason: errorTable.dns_malformed.message,
}
