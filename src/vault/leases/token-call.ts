/** One call to a token endpoint: made, or not even sent, and what came of it. */
import type { Clock } from '#base/clock.ts'
import { codeOf, ProxyError, unsent } from '#base/errors.ts'
import type { Secret } from '#base/secret.ts'
import type { GrantLease, LeaseInput, LeaseTools, Pair, TokenCall, TokenReply } from '#credentials/lease.ts'
import type { TokenCaller } from '#contracts/calls.ts'

/** Everything a call needs besides the pair. */
export interface Calling {
  readonly credential: string
  /** As the policy in force has it. */
  readonly lease: () => GrantLease
  readonly caller: TokenCaller
  readonly clock: Clock
  readonly tools: LeaseTools
  /** The values of the lease's `refs` that could be read, as of now. */
  readonly secrets: () => LeaseInput['secrets']
}

/** What a call came to. */
export type Called =
  | { readonly kind: 'granted'; readonly pair: Pair }
  | { readonly kind: 'refused'; readonly reason: string }
  | {
      readonly kind: 'later'
      readonly reason: string
      /** Milliseconds to wait at least. */
      readonly after: number | undefined
      /** What was sent is known to hold still. Otherwise it may be spent, and what came for it lost. */
      readonly unspent: boolean
    }

/** The call to make. Nothing has happened yet when there is none. */
export function prepareCall(calling: Calling, pair: Pair | undefined): TokenCall | (Called & { readonly kind: 'later' }) {
  try {
    return calling.lease().ask(inputOf(calling, pair))
  } catch (error) {
    return { kind: 'later', reason: reasonOf(error), after: undefined, unspent: true }
  }
}

/** Makes the call. Never throws. */
export async function makeCall(calling: Calling, call: TokenCall, pair: Pair | undefined): Promise<Called> {
  const { caller, clock, credential } = calling
  const lease = calling.lease()
  let reply: TokenReply
  try {
    reply = await caller.call(credential, lease.endpoint, call)
  } catch (error) {
    return { kind: 'later', reason: reasonOf(error), after: undefined, unspent: unsent.has(codeOf(error)) }
  }
  const answer = lease.read(reply, inputOf(calling, pair))
  switch (answer.kind) {
    case 'granted':
      return usable(answer.pair, clock.now())
    case 'refused':
      return { kind: 'refused', reason: bounded(answer.reason) }
    case 'later':
      return { kind: 'later', reason: bounded(answer.reason), after: answer.after, unspent: !saysYes(reply) }
    default:
      return answer satisfies never
  }
}

/** Our own words, or a code: never what was read. */
export function reasonOf(error: unknown): string {
  // The store's errors are of a room beside this one, and as careful as ours.
  if (error instanceof ProxyError || (error instanceof Error && error.name === 'StoreError')) return error.message
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : 'unknown error'
}

/** A grant that cannot be read is still one: what was sent for it is spent. A page in HTML is from something on the way. */
function saysYes({ status, contentType }: TokenReply): boolean {
  return status >= 200 && status < 300 && /json/i.test(contentType)
}

const unplaceable = /[\r\n\0]/
/** Milliseconds. What lives for less was already dead, or the server's clock is off: then it is used until refused. */
const shortest = 1000

function usable(pair: Pair, now: number): Called {
  if (isUnplaceable(pair.access)) return { kind: 'refused', reason: 'the token endpoint granted what cannot stand in a header' }
  const { expiresAt } = pair
  const living = expiresAt === undefined || expiresAt >= now + shortest
  return { kind: 'granted', pair: living ? pair : { ...pair, expiresAt: undefined } }
}

function isUnplaceable(access: Secret): boolean {
  const value = access.expose()
  return value === '' || unplaceable.test(value)
}

function inputOf({ clock, tools, secrets }: Calling, pair: Pair | undefined): LeaseInput {
  return { pair, secrets: secrets(), now: clock.now(), tools }
}

/** Some of it is a server's word. */
function bounded(reason: string): string {
  return reason.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
