/** How an exchange ends, and the one line that it leaves. */
import type { ErrorCode } from '#base/errors.ts'
import type { TokenClass } from '#base/usage.ts'
import type { Swap } from '#credentials/types.ts'
import type { Basis } from '#metering/charge.ts'
import type { Denial } from '#policy/types.ts'
import type { Door, Scheme } from './request.ts'

/** Who broke an exchange off. */
export type CutBy = 'agent' | 'policy' | 'budget' | 'shutdown'

/** How an exchange ended. */
export type Outcome =
  | { readonly kind: 'replied' }
  | { readonly kind: 'denied'; readonly denial: Denial }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail?: string | undefined }
  | { readonly kind: 'aborted'; readonly by: CutBy }

/**
 * One line of audit: where, never what. Everything an agent chose is bounded and escaped by the writer; no header value,
 * query or body byte is ever in it. Durations in milliseconds.
 */
export interface AuditRecord {
  readonly id: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly type: 'request' | 'upgrade' | 'tunnel' | 'tls' | 'dns' | 'credential' | 'budget' | 'run' | 'operator'
  /**
   * Tunnels and upgrades are written when they open and when they close; a credential when only a login helps it and
   * when it is well again; a run when it begins and ends, and when an agent is bound to one; an operator when they act; all else once.
   */
  readonly event:
    | 'exchange'
    | 'open'
    | 'close'
    | 'needs_login'
    | 'recovered'
    | 'warning'
    | 'exhausted'
    | 'minted'
    | 'bound'
    | 'ended'
    | 'reloaded'
    | 'budget_set'
    | 'login_begun'
  readonly agent: string | null
  readonly peer: string
  readonly door: Door
  readonly protocol: string
  readonly method?: string | undefined
  readonly scheme?: Scheme | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Without query. */
  readonly path?: string | undefined
  /** What a clone or a push asks about first, in place of the query that says it. */
  readonly git?: 'fetch' | 'push' | undefined
  readonly rule?: string | undefined
  readonly verdict: 'allow' | 'deny' | 'would_deny' | 'error'
  /** An error code of the table, when the verdict is not `allow` or the exchange broke off. */
  readonly code?: ErrorCode | undefined
  readonly reason?: string | undefined
  readonly swaps: readonly Swap[]
  /** Credentials whose real value was taken out of the reply, with how often. */
  readonly scrubbed?: Readonly<Record<string, number>> | undefined
  /** Credential whose stub or real value was misused, that a token call was for, or whose stub report mode let pass unswapped. */
  readonly credential?: string | undefined
  /** A token call that was answered here, with stubs. */
  readonly answered?: true | undefined
  /** It was a login: made in the agent's place, and what it granted is kept here. */
  readonly captured?: true | undefined
  /** The budget that refused or ended it. */
  readonly budget?: string | undefined
  /** Milliseconds for which it waited for room in its budgets. */
  readonly waited?: number | undefined
  /** How far the limits of the subscription behind it are used, each as a share; 1 is all. */
  readonly limits?: Readonly<Record<string, number>> | undefined
  /** What a metered exchange used. */
  readonly usage?: MeteredUsage | undefined
  /** The model of a metered exchange that has no price: as its agent named it. */
  readonly unpriced?: Unpriced | undefined
  readonly status?: number | undefined
  readonly bytesUp: number
  readonly bytesDown: number
  readonly duration: number
  /** Until the upstream's reply head. */
  readonly ttfb?: number | undefined
  readonly upstream?: string | undefined
  readonly parent?: string | undefined
  readonly runId?: string | undefined
  /** The trace that the agent's request belongs to. */
  readonly traceId?: string | undefined
  readonly policyHash?: string | undefined
  /** DNS only. */
  readonly dns?:
    | { readonly qtype: string; readonly rcode: string; readonly outcome: string; readonly proto: 'udp' | 'tcp' }
    | undefined
  /** How often this was seen since it was last written (DNS). */
  readonly count?: number | undefined
}

export interface Unpriced {
  readonly meter: string
  readonly model: string
}

/** What was counted and charged: tokens, and US dollars where the price is known. */
export interface MeteredUsage extends Readonly<Partial<Record<TokenClass, number | undefined>>> {
  readonly meter: string
  /** As the price table or the policy calls it; `other` when neither knows it. */
  readonly model: string
  /** Part of `output` that was thought. */
  readonly reasoning?: number | undefined
  readonly usd?: number | undefined
  /** The provider did not report it all: what is written is reckoned, or the whole hold was charged. */
  readonly estimated?: true | undefined
  /** What the charge goes by, where it is no report of the provider. */
  readonly charged?: Basis | undefined
}

export interface Ids {
  /** A new exchange id: sortable by time, unguessable. */
  next(): string
}

export interface Audit {
  /** No request may begin, since its record would be lost. */
  readonly refuses?: boolean
  write(record: AuditRecord): void
}
