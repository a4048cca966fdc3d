/** Carries questions of forwarded zones to their resolvers, within what each agent may have carried. */
import type { Clock } from '#base/clock.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import type { AgentId } from '#policy/types.ts'
import { Allowances } from './allowance.ts'
import { extendedErrors } from './codes.ts'
import type { Resolver } from './names.ts'
import type { RelayedAnswer } from './relay.ts'
import type { ExtendedError } from './reply.ts'
import { askResolver } from './resolver.ts'
import type { Query } from './wire.ts'

/** What came back; `resolver` is who said it, as `address:port`. `refused`: over what the agent may ask. */
export type Forwarded =
  | { readonly kind: 'answer'; readonly reply: RelayedAnswer; readonly resolver: string }
  | { readonly kind: 'refused' | 'failed'; readonly code: ErrorCode; readonly error: ExtendedError }

/** Questions on their way at one time, of everyone and of one agent. */
export const concurrency = { everyone: 512, agent: 64 } as const
/** Resolvers tried for one question; each has its own patience. */
const mostResolvers = 3

const servfail = 2
const refused = 5

/** Owns the questions on their way. */
export class Forwarder {
  readonly #clock: Clock
  readonly #allowances = new Allowances()
  readonly #stop = new AbortController()
  readonly #running = new Map<AgentId, number>()
  #total = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Asks a zone's resolvers in order until one has an answer. Never rejects. */
  async ask(agent: AgentId, host: Host, query: Query, to: readonly Resolver[]): Promise<Forwarded> {
    const running = this.#running.get(agent) ?? 0
    if (this.#total >= concurrency.everyone || running >= concurrency.agent) return tooMany
    if (!this.#allowances.take(agent, host, this.#clock.elapsed())) return tooMuch
    this.#total += 1
    this.#running.set(agent, running + 1)
    try {
      return await askInTurn(query, to.slice(0, mostResolvers), this.#stop.signal)
    } finally {
      this.#total -= 1
      const left = (this.#running.get(agent) ?? 1) - 1
      if (left > 0) this.#running.set(agent, left)
      else this.#running.delete(agent)
    }
  }

  /** Gives up on everything still on its way. */
  stop(): void {
    this.#stop.abort()
  }
}

/** A resolver that fails or refuses is passed over; the last one's refusal is what the agent gets. */
async function askInTurn(query: Query, to: readonly Resolver[], signal: AbortSignal): Promise<Forwarded> {
  let last: Forwarded = unreachable
  for (const resolver of to) {
    const heard = await askResolver(resolver, query.question, signal)
    if (heard.kind === 'silent') last = silent
    else if (heard.kind === 'failed') last = unreachable
    else {
      last = { kind: 'answer', reply: heard, resolver: nameOf(resolver) }
      if (heard.rcode !== servfail && heard.rcode !== refused) return last
    }
    if (signal.aborted) break
  }
  return last
}

function nameOf({ address, port }: Resolver): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

const unreachable: Forwarded = {
  kind: 'failed',
  code: 'upstream_unresolved',
  error: { code: extendedErrors.noReachableAuthority, text: 'the resolver of this zone gave no usable answer' },
}
const silent: Forwarded = {
  kind: 'failed',
  code: 'upstream_dns_timeout',
  error: { code: extendedErrors.noReachableAuthority, text: 'the resolver of this zone did not answer in time' },
}
const tooMany: Forwarded = {
  kind: 'failed',
  code: 'overloaded',
  error: { code: extendedErrors.other, text: 'too many questions to forward at once' },
}
const tooMuch: Forwarded = {
  kind: 'refused',
  code: 'overloaded',
  error: { code: extendedErrors.blocked, text: 'too many questions or names to forward for this agent' },
}
