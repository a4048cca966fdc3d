/**
 * What a question gets, as a pure function: the agent first, then the policy's own records, forwarded zones, and last
 * what its rules say of the host. Nothing else is ever resolved, so a refused name causes no packet anywhere.
 */
import type { Address } from '#base/address.ts'
import { errorTable } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import { selfHost } from '#journey/self.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Exchange } from '#contracts/snapshot.ts'
import { decideHost } from '#policy/decide.ts'
import type { AgentId, Denial } from '#policy/types.ts'
import { extendedErrors, types } from './codes.ts'
import { hasBelow, namesOf } from './names.ts'
import type { Resolver } from './names.ts'
import type { DnsReply, DnsResource } from './reply.ts'
import type { Query } from './wire.ts'

/** Who asks and under which snapshot, or why that is not known. */
export type Asker = ({ readonly kind: 'agent' } & Exchange) | Denial

/** What became of a question, in the words of metrics and audit. */
export interface DnsFinding {
  readonly outcome: 'intercept' | 'forward' | 'record' | 'nodata' | 'blocked' | 'malformed'
  readonly verdict: AuditRecord['verdict']
  readonly code?: ErrorCode | undefined
  readonly reason?: string | undefined
  readonly rule?: string | undefined
}

export type DnsAnswer =
  | { readonly kind: 'reply'; readonly reply: DnsReply; readonly finding: DnsFinding }
  | { readonly kind: 'forward'; readonly agent: AgentId; readonly host: Host; readonly to: readonly Resolver[] }

/** The addresses the proxy is reached at, as records: one of a family at most is what Services have. */
export interface Ours {
  readonly A: readonly DnsResource[]
  readonly AAAA: readonly DnsResource[]
}

/** The proxy's own addresses by record type. */
export function oursOf(advertise: readonly Address[]): Ours {
  const records = advertise.map((address) => ({ kind: address.includes(':') ? ('AAAA' as const) : ('A' as const), address }))
  return { A: records.filter(({ kind }) => kind === 'A'), AAAA: records.filter(({ kind }) => kind === 'AAAA') }
}

/** Answers one well-formed question. Without an agent nothing is told, neither records nor forwarded names. */
export function answer(query: Query, asker: Asker, ours: Ours): DnsAnswer {
  if (asker.kind === 'deny') return turnAway(asker)
  const { policy } = asker.snapshot
  const host = parseHost(query.name)
  // The root exists, whatever else does.
  if (!host) return absent(badHost, query.name === '' ? 'NOERROR' : 'NXDOMAIN')
  // Whatever the policy says of names: an agent can always ask who it is.
  if (host === selfHost) return give(query, addressesFor(query, ours))
  const names = namesOf(policy.dns)
  if (names.recordsOf(host)) return give(query, lookUp(query, host, asker, ours))
  const resolvers = names.resolversOf(host)
  if (resolvers)
    return forwarded.has(query.type) ? { kind: 'forward', agent: asker.agent.id, host, to: resolvers } : give(query, [])
  const verdict = decideHost(policy, asker.agent, host)
  if (verdict.kind === 'deny') return denied(query, host, verdict, asker, ours)
  const rule = verdict.rule?.id
  const addresses = addressesFor(query, ours)
  const outcome = addresses.length > 0 ? 'intercept' : 'nodata'
  const refused = verdict.kind === 'inspect' ? verdict.wouldDeny : undefined
  if (!refused) return { kind: 'reply', reply: positive(query, addresses), finding: { outcome, verdict: 'allow', rule } }
  const finding: DnsFinding = {
    outcome,
    verdict: 'would_deny',
    rule: refused.rule?.id ?? rule,
    code: refused.code,
    reason: refused.reason,
  }
  return { kind: 'reply', reply: positive(query, addresses), finding }
}

// What a forwarded zone is asked for. HTTPS and SVCB are left out, since they could carry ECH keys, h3 and addresses;
// the rest of the type space is left out as room for other messages.
const forwarded: ReadonlySet<number> = new Set([
  types.A,
  types.NS,
  types.CNAME,
  types.SOA,
  types.PTR,
  types.MX,
  types.TXT,
  types.AAAA,
  types.SRV,
])

const longestChain = 8

/**
 * The records of a name that fit the question. A CNAME brings its target along where the target is ours too, a record
 * or a host some rule allows; it is never looked up elsewhere. `path`: the names that led here.
 */
function lookUp(query: Query, host: Host, asker: Exchange, ours: Ours, path: readonly Host[] = []): readonly DnsResource[] {
  const { policy } = asker.snapshot
  const owner = path.length > 0 ? host : undefined
  const records = namesOf(policy.dns).recordsOf(host)
  if (!records) {
    const isElsewhere = namesOf(policy.dns).resolversOf(host) || decideHost(policy, asker.agent, host).kind === 'deny'
    return isElsewhere ? [] : owned(addressesFor(query, ours), owner)
  }
  const fitting = records.filter(({ kind }) => types[kind] === query.type)
  const alias = records.find((record) => record.kind === 'CNAME')
  if (fitting.length > 0 || !alias) return owned(fitting, owner)
  const longer = [...path, host]
  const ends = longer.includes(alias.target) || longer.length === longestChain
  return [...owned([alias], owner), ...(ends ? [] : lookUp(query, alias.target, asker, ours, longer))]
}

function owned(records: readonly DnsResource[], owner: Host | undefined): readonly DnsResource[] {
  return owner === undefined ? records : records.map((record) => ({ ...record, owner }))
}

function addressesFor(query: Query, ours: Ours): readonly DnsResource[] {
  if (query.type === types.A) return ours.A
  return query.type === types.AAAA ? ours.AAAA : []
}

function give(query: Query, records: readonly DnsResource[]): DnsAnswer {
  const outcome = records.length > 0 ? 'record' : 'nodata'
  return { kind: 'reply', reply: positive(query, records), finding: { outcome, verdict: 'allow' } }
}

/** A name that exists: its records, or that it has none of this type (RFC 2308), or for ANY the least (RFC 8482). */
function positive(query: Query, records: readonly DnsResource[]): DnsReply {
  if (records.length > 0) return { rcode: 'NOERROR', answers: records, authority: [] }
  if (query.type === types.ANY) return { rcode: 'NOERROR', answers: [minimal], authority: [] }
  return { rcode: 'NOERROR', answers: [], authority: [start] }
}

const minimal: DnsResource = { kind: 'HINFO' }
const start: DnsResource = { kind: 'SOA' }

/**
 * A name the agent may not reach. Under `dns.deny: sinkhole` it leads to us, so that the client reads a 403 that says why;
 * else it does not exist. Never REFUSED: musl and glibc take that for a resolver that is ill, ask again until their time is
 * up, and do not go on with their search list. Names that a search list makes of forwarded names and of records, and
 * addresses turned into names, lead nowhere under a sinkhole too: their client has another name to try, or none to connect to.
 */
function denied(query: Query, host: Host, denial: Denial, { snapshot }: Exchange, ours: Ours): DnsAnswer {
  const { policy } = snapshot
  const names = namesOf(policy.dns)
  const isSunk = policy.dns.deny === 'sinkhole' && !isReverse(host) && !names.isExpansion(host)
  const answers = isSunk ? addressesFor(query, ours) : []
  if (answers.length > 0)
    return { kind: 'reply', reply: { rcode: 'NOERROR', answers, authority: [], error: blocked(denial) }, finding: found(denial) }
  // A name that has others below it exists (RFC 8020): a cache would take those for absent too.
  return absent(denial, isSunk || hasBelow(policy, host) ? 'NOERROR' : 'NXDOMAIN')
}

/** The trees in which addresses are names (RFC 1035 section 3.5, RFC 3596 section 2.5). */
function isReverse(host: Host): boolean {
  return /(?:^|\.)(?:in-addr|ip6)\.arpa$/.test(host)
}

function absent(denial: Denial, rcode: 'NOERROR' | 'NXDOMAIN'): DnsAnswer {
  return { kind: 'reply', reply: { rcode, answers: [], authority: [start], error: blocked(denial) }, finding: found(denial) }
}

function refuse(denial: Denial): DnsAnswer {
  const reply = { rcode: 'REFUSED', answers: [], authority: [], error: blocked(denial) } as const
  return { kind: 'reply', reply, finding: found(denial) }
}

/** For those who are no agent: REFUSED, or SERVFAIL while there is no policy, since that will pass. */
function turnAway(denial: Denial): DnsAnswer {
  if (denial.code !== 'no_policy') return refuse(denial)
  const error = { code: extendedErrors.notReady, text: errorTable.no_policy.message }
  return { kind: 'reply', reply: { rcode: 'SERVFAIL', answers: [], authority: [], error }, finding: found(denial) }
}

function blocked(denial: Denial): NonNullable<DnsReply['error']> {
  return { code: extendedErrors.blocked, text: denial.rule?.reason ?? errorTable[denial.code].message }
}

function found({ code, reason, rule }: Denial): DnsFinding {
  return { outcome: 'blocked', verdict: 'deny', code, reason, rule: rule?.id }
}

const badHost: Denial = { kind: 'deny', code: 'bad_host', reason: errorTable.bad_host.message }
