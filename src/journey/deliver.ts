import type { StopSignal } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import { ScrubChain } from '#credentials/scrub/scrub-chain.ts'
import type { FoundStubs } from '#credentials/swap/swap.ts'
import { fill, place } from '#credentials/swap/swap.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Whole } from './fill.ts'
import { requestHeaders, resized } from './headers.ts'
import type { Metered } from './metered.ts'
import type { Client } from '#contracts/reply.ts'
import type { Outbound } from '#contracts/upstream.ts'
import type { Ports } from './ports.ts'
import type { RequestArrival, RequestBody } from '#contracts/request.ts'
import { Relay } from './relay.ts'
import { refusalOfFields } from './refused-fields.ts'
import { refusalsFor } from './refused-values.ts'
import type { RefusedReply } from './refused-values.ts'
import { RefusalCatcher, Replayable } from './replay.ts'
import { settle } from './settle.ts'
import type { Trace } from './settle.ts'
import { sign, signs } from './sign.ts'
import { wholeBody } from './whole-body.ts'

const none: readonly never[] = []

/** One allowed request on its way out. */
interface Delivery {
  readonly arrival: RequestArrival
  readonly found: FoundStubs
  /** The body, where it was read for the stubs in it. */
  readonly whole: Whole | undefined
  /** Looks for the stubs in another body of it. */
  readonly look: (body: RequestBody) => Promise<Whole | undefined>
  /** Credentials whose real values must not come back. */
  readonly guarded: readonly Credential[]
  readonly client: Client
  readonly signal: StopSignal
  readonly seen: Trace
  /** Whoever counts what the reply costs. */
  readonly metered: Metered | undefined
  readonly ports: Ports
}

/**
 * Steps 5 to 7. Where a value that can be renewed is refused by the upstream, it is renewed once for everyone and the
 * request is sent once more; the same without what the meter added, where that is refused. The refusal itself never reaches an agent.
 */
// Neither this nor `sendRenewing` nor `grantsOf` is an async function: most requests wait for nothing in them.
export function deliver(delivery: Delivery, body: RequestBody | undefined): Promise<unknown> {
  const amendment = delivery.metered?.amendment
  return amendment ? deliverAmended(delivery, amendment, body) : sendRenewing(delivery, body, none)
}

async function deliverAmended(
  delivery: Delivery,
  amendment: NonNullable<Metered['amendment']>,
  body: RequestBody | undefined,
): Promise<void> {
  const { arrival, metered, ports, seen, look } = delivery
  const { refusedFields } = ports
  if (!(await sendRenewing(delivery, body, [refusalOfFields(amendment.fields)]))) return
  refusedFields?.add(arrival.head)
  const before = metered?.withoutAmendment()
  const whole = before && delivery.whole && (await look(before))
  await sendRenewing({ ...delivery, whole }, whole?.body ?? before, none)
  if ((seen.status ?? 0) >= 400) refusedFields?.delete(arrival.head)
}

/** Sends, and once more where a value was refused that can be renewed. Gives the row of `others` that the reply meets. */
function sendRenewing(
  delivery: Delivery,
  body: RequestBody | undefined,
  others: readonly RefusedReply[],
): Promise<RefusedReply | undefined> {
  const grants = grantsOf(delivery)
  if (grants instanceof Promise) return grants.then((granted) => renewing(delivery, granted, body, others))
  return isRenewable(grants) ? renewing(delivery, grants, body, others) : attempt(delivery, grants, body, others)
}

async function renewing(
  delivery: Delivery,
  grants: readonly Grant[],
  body: RequestBody | undefined,
  others: readonly RefusedReply[],
): Promise<RefusedReply | undefined> {
  const { arrival, ports } = delivery
  if (!isRenewable(grants)) return attempt(delivery, grants, body, others)
  const rows = [...refusalsFor(arrival.head), ...others]
  const kept = body && new Replayable(body)
  const caught = await attempt(delivery, grants, kept?.first(), rows)
  if (!caught || others.includes(caught)) return caught
  const renewed = await Promise.all(grants.map((grant) => renew(grant, ports)))
  const again = kept?.again()
  if (kept && !again)
    throw new ProxyError('credential_unavailable', 'the value was renewed, but the body is too long to be sent once more')
  const second = await attempt(delivery, renewed, again, rows)
  if (!second || others.includes(second)) return second
  throw new ProxyError('credential_unavailable', `the host refuses the real value of ${names(grants)}`)
}

function isRenewable(grants: readonly Grant[]): boolean {
  return grants.some(({ credential }) => credential.lease)
}

/** One grant for each credential that is placed; a promise where one of them has to be asked for. */
function grantsOf({ found, ports, whole }: Delivery): readonly Grant[] | Promise<readonly Grant[]> {
  const wanted: Credential[] = []
  for (const { credential } of found.placements) if (!wanted.includes(credential)) wanted.push(credential)
  for (const { credential } of whole?.placements ?? none) if (!wanted.includes(credential)) wanted.push(credential)
  const grants: Grant[] = []
  for (const credential of wanted) {
    const grant = ports.vault.grant(credential)
    if (grant instanceof Promise) return grantsAfter(grants, grant, wanted, ports)
    grants.push(grant)
  }
  return grants
}

async function grantsAfter(
  had: readonly Grant[],
  asked: Promise<Grant>,
  wanted: readonly Credential[],
  ports: Ports,
): Promise<Grant[]> {
  const grants = [...had, await asked]
  for (const credential of wanted.slice(grants.length)) grants.push(await ports.vault.grant(credential))
  return grants
}

async function renew(grant: Grant, { vault }: Ports): Promise<Grant> {
  if (!grant.credential.lease) return grant
  const renewed = await vault.renew(grant)
  if (!renewed)
    throw new ProxyError(
      'credential_unavailable',
      `the host refuses the real value of ${grant.credential.id}, and there is no newer one`,
    )
  return renewed
}

/** Sends once. Gives the row that the reply meets: nothing of it has reached the agent. */
async function attempt(
  delivery: Delivery,
  grants: readonly Grant[],
  body: RequestBody | undefined,
  catching: readonly RefusedReply[],
): Promise<RefusedReply | undefined> {
  const { arrival, client, found, guarded, metered, ports, seen, signal, whole } = delivery
  const placed = place(arrival.head, found.placements, grants)
  const filled = whole && fill(whole.bytes, whole.placements, grants)
  seen.swaps = filled ? [...placed.swaps, ...filled.swaps] : placed.swaps
  const known = ports.vault.scrub(guarded)
  const latest = () => ports.vault.scrub(guarded)
  const scrub = known && new ScrubChain(known, latest)
  // What is searched or counted must be read.
  const decode = scrub !== undefined || metered !== undefined
  // What signs is never sent, so this host cannot hand it out byte by byte, and a session token is worth nothing without it;
  // and S3 clients download in parts.
  const parts = guarded.every(({ placer }) => placer.sign !== undefined)
  const length = filled?.bytes.length ?? metered?.body?.length
  const kept = requestHeaders(placed.headers, { decode, parts, host: hostHeader(arrival) })
  const outbound: Outbound = {
    head: placed.query === arrival.head.query ? arrival.head : { ...arrival.head, query: placed.query },
    agent: seen.exchange?.agent.id,
    headers: length === undefined ? kept : resized(kept, length),
    credentials: grants.map(({ credential }) => credential.id),
    decode,
    upgrade: arrival.kind === 'upgrade',
  }
  const bodyless = arrival.head.method === 'HEAD'
  const relay = new Relay(client, seen, {
    clock: ports.clock,
    memory: ports.memory,
    agent: outbound.agent,
    bodyless,
    scrub,
    metered,
  })
  const catcher = catching.length > 0 ? new RefusalCatcher(relay, catching) : undefined
  client.proceed()
  if (metered) metered.sent = true
  try {
    const filledBody = body && filled ? wholeBody(body, filled.bytes) : body
    const tools = { now: ports.clock.now(), hashes: ports.hashes }
    const leaving = grants.some(signs)
      ? await sign({ outbound, body: filledBody }, grants, tools)
      : { outbound, body: filledBody }
    const sent = await ports.upstream.send(leaving.outbound, leaving.body, catcher ?? relay, signal)
    seen.upstream = sent.address
    if (!sent.upgraded) return catcher?.caught
    seen.status = 101
    ports.audit.write(settle(seen, { kind: 'replied' }, 'open', ports.clock))
    const relayed = await client.relay(relay.upgraded(sent.upgraded), signal)
    seen.bytesUp = relayed.bytesUp
    seen.bytesDown = relayed.bytesDown
    if (signal.aborted) throw new ProxyError('client_closed')
    return undefined
  } finally {
    relay.report()
  }
}

function hostHeader({ head: { scheme, host, port } }: RequestArrival): string {
  return port === (scheme === 'https' ? 443 : 80) ? host : `${host}:${port}`
}

function names(grants: readonly Grant[]): string {
  return grants.map(({ credential }) => credential.id).join(', ')
}
