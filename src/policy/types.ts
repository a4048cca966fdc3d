/**
 * policy/ answers one question: may this agent do this? It does no I/O and knows no secret: credentials are ids here.
 * Its neighbours: config/ reads and compiles policies, journey/ asks `decide`, dns/ and listeners/ ask `decideHost`.
 */
import type { Cidr } from '#base/address.ts'
import type { Host, HostPattern } from '#base/host.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { SecretRef } from '#base/secret.ts'
import type { PodSelector } from './pods.ts'

export type AgentId = string
export type RuleId = string
export type CredentialId = string
export type BudgetId = string

/** Where something stands in a policy file; line and column count from 1. */
export interface Position {
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface Agent {
  readonly id: AgentId
  /** `report`: what the policy would refuse passes without any credential and is audited as `would_deny`. */
  readonly mode: 'enforce' | 'report'
  /** Budgets that its metered requests must fit, all of them. */
  readonly budgets: readonly BudgetId[]
  readonly cidrs: readonly Cidr[]
  readonly proxyAuth: readonly { readonly username: string; readonly password: SecretRef }[]
  /** Kubernetes: a pod that any of these selects is this agent. */
  readonly pods: readonly PodSelector[]
}

/** `*` is one path segment, `**` any number, the rest is compared as it is (in lower case where a rule refuses). */
export type PathPattern = readonly string[]

/** Repository patterns `owner/name` for git over HTTPS; `*` stands for one whole part. */
export interface GitScopes {
  readonly fetch: readonly string[]
  readonly push: readonly string[]
}

export interface Rule {
  readonly id: RuleId
  /** Order in the policy; the first rule that matches decides. */
  readonly index: number
  readonly effect: 'allow' | 'deny'
  readonly reason: string | undefined
  /** `undefined`: every agent. */
  readonly agents: ReadonlySet<AgentId> | undefined
  readonly hosts: readonly HostPattern[]
  /** `undefined`: every port; only of a rule that refuses, as a port it forgot would be a way around it. */
  readonly ports: ReadonlySet<number> | undefined
  /** Upper case; `undefined`: every method. */
  readonly methods: ReadonlySet<string> | undefined
  /** `undefined`: every path. */
  readonly paths: readonly PathPattern[] | undefined
  /** The same and what other servers read in them, for a path in another reading than the one that was sent. */
  readonly otherPaths: readonly PathPattern[] | undefined
  readonly git: GitScopes | undefined
  readonly plain: boolean
  readonly inspect: boolean
  readonly foreign: 'refuse' | 'allow'
  /** Whether its credentials may be used to have new secrets made. */
  readonly mints: 'refuse' | 'allow'
  /** Which of its credentials sign requests, for AWS and what is compatible with it: nothing else takes those. */
  readonly signing: 'none' | 'some' | 'all'
  readonly credentials: readonly CredentialId[]
  /** Provider whose usage is counted, or `auto`. */
  readonly meter: string | undefined
  /** What each request costs where no usage is reported: weighted tokens and US dollars. */
  readonly price: { readonly tokens: number; readonly usd: number } | undefined
  /** Whether the meter may add fields to requests. */
  readonly amend: boolean
  readonly position: Position
}

/** Compiled and frozen: rules indexed by host, agents by where they speak from. */
export interface Policy {
  readonly agents: ReadonlyMap<AgentId, Agent>
  readonly rules: readonly Rule[]
  readonly dns: DnsPolicy
  /** Rules that could match a host, in policy order. */
  rulesFor(host: Host): readonly Rule[]
}

export interface DnsPolicy {
  readonly deny: 'sinkhole' | 'refuse'
  readonly forward: readonly { readonly zones: readonly Host[]; readonly to: readonly string[] }[]
  readonly records: readonly { readonly name: Host; readonly type: 'A' | 'AAAA' | 'CNAME' | 'TXT'; readonly value: string }[]
}

export interface Denial {
  readonly kind: 'deny'
  readonly code: ErrorCode
  /** For people: what was refused and, where a rule says so, why. */
  readonly reason: string
  readonly rule?: Rule | undefined
  /** Milliseconds since the epoch when a budget that is used up starts anew. */
  readonly resetsAt?: number | undefined
}

export interface Allowance {
  readonly kind: 'allow'
  /** `undefined` only in report mode, when no rule matched. */
  readonly rule: Rule | undefined
  /** Set in report mode: the denial that was not carried out. No credential may be given then. */
  readonly wouldDeny?: Denial
}

export type Verdict = Allowance | Denial

/** What DNS, SNI and CONNECT may know before a request is read. */
export type HostVerdict =
  | { readonly kind: 'inspect'; readonly rule: Rule | undefined; readonly wouldDeny?: Denial }
  | { readonly kind: 'splice'; readonly rule: Rule }
  | Denial

/** What `decide` needs of a request: already canonical, never a header. */
export interface Ask {
  readonly scheme: 'http' | 'https'
  readonly host: Host
  readonly port: number
  readonly method: string
  /** The path as sent, without query; `refusePath` has let it pass. */
  readonly path: string
  /** With its question mark, or empty. */
  readonly query: string
  /** Its media types say that it carries, or wants, a DNS message (RFC 8484 section 6). */
  readonly dnsMessage?: boolean
  /** Its body is a form (`application/x-www-form-urlencoded`), in which AWS and what is compatible with it take calls. */
  readonly form?: boolean
  /** It goes to a token endpoint whose calls are answered here: what it asks for stays here too. */
  readonly answered?: boolean
}
