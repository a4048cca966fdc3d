import type { Cancellation } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { MemoryShare } from '#base/memory-account.ts'
import { nanoDollars } from '#metering/compile.ts'
import type { MeteredRequest } from '#metering/admissions.ts'
import { pricedName } from '#metering/price.ts'
import type { Denial, Rule } from '#policy/types.ts'
import { providerFor, providerNamed } from '#providers/index.ts'
import { JsonFields } from '#providers/scan/json-fields.ts'
import type { Asked, Call, Classified, Shape } from '#providers/types.ts'
import { decodeWhole } from './coding.ts'
import { headerValue } from './headers.ts'
import { denialOf, Metered } from './metered.ts'
import type { Amendment } from './metered.ts'
import type { Client } from '#contracts/reply.ts'
import type { Ports } from './ports.ts'
import type { RequestArrival, RequestBody } from '#contracts/request.ts'
import type { Voice } from './respond.ts'
import type { Trace } from './settle.ts'
import type { CutBy } from '#contracts/audit-record.ts'
import type { Exchange } from '#contracts/snapshot.ts'
import { readWhole, wholeBody } from './whole-body.ts'

/** A request that has passed the decision, on its way to the desk. */
export interface MeterAsk {
  readonly arrival: RequestArrival
  readonly exchange: Exchange
  readonly rule: Rule
  readonly body: RequestBody | undefined
  readonly client: Client
  readonly cut: Cancellation<CutBy>
  readonly seen: Trace
  readonly ports: Ports
}

/** A request that must not pass, with its body, which may have been read. */
export interface Unpaid {
  readonly kind: 'unpaid'
  readonly denial: Denial
  readonly body: RequestBody | undefined
}

/** How the provider of this rule takes a request; `undefined`: the rule has no meter. */
export function classify(
  rule: Rule,
  call: Call,
): (Classified & { readonly provider: string; readonly mostBody: number }) | undefined {
  if (rule.meter === undefined) return undefined
  const provider = rule.meter === 'auto' ? providerFor(call.host) : providerNamed(rule.meter)
  if (provider) {
    const classified = provider.classify(call)
    if (classified.kind !== 'free' || !classified.unlisted || !rule.price)
      return { ...classified, provider: provider.id, mostBody: provider.mostBody }
    return {
      kind: 'unmetered',
      reason: `${call.path} does not report what it costs`,
      provider: provider.id,
      mostBody: provider.mostBody,
    }
  }
  const reason = `meter: auto knows no provider for ${call.host}; name one`
  return { kind: 'unmetered', reason, provider: rule.meter, mostBody: 0 }
}

/** How clients of the provider that a request is for are told something, metered or not; `undefined`: it is for none we know. */
export function voiceOf(rule: Rule | undefined, arrival: RequestArrival): Voice | undefined {
  const call = callOf(arrival)
  const named = rule?.meter !== undefined && rule.meter !== 'auto'
  const provider = named ? providerNamed(rule.meter) : providerFor(call.host)
  if (!provider) return undefined
  const classified = provider.classify({ ...call, upgrade: false })
  // A host that only its rule knows may answer other things than this provider's.
  if (named && classified.kind !== 'metered' && !provider.owns(call.host)) return undefined
  const { speech } = classified.kind === 'metered' ? classified.shape : provider
  return { speech, call, header: (name) => headerValue(arrival.head.headers, name) }
}

/** What a provider needs to know of a request's head. */
export function callOf({ head, kind }: RequestArrival): Call {
  const { host, method, path, query } = head
  return { host, method, path, query, upgrade: kind === 'upgrade' }
}

/**
 * Step 4, where the rule has a meter: what the request may cost is held with the budgets of its agent before a byte of it is
 * sent. `undefined`: it costs nothing. Throws `body_too_large`, `ledger_unavailable` and the signal's reason.
 */
export async function meter(ask: MeterAsk): Promise<Metered | Unpaid | undefined> {
  const { arrival, rule, body, client } = ask
  const call = callOf(arrival)
  const classified = classify(rule, call)
  if (!classified || classified.kind === 'free') return undefined
  const { provider, mostBody } = classified
  // Clients go on over HTTP when they are told so, and ask again for minutes when they are told anything else.
  if (classified.kind === 'fallback' || (classified.kind === 'unmetered' && call.upgrade && !rule.price))
    return unpaid(rule, body, 'upgrade_refused', 'this WebSocket cannot be metered; send the same as HTTPS requests')
  if (classified.kind === 'unmetered') {
    if (!rule.price) return unpaid(rule, body, 'unmetered', classified.reason)
    return await hold(ask, { provider, shape: undefined, asked: nothingAsked, bodyBytes: 0, body, amendment: undefined })
  }
  const { shape } = classified
  client.proceed()
  const coding = headerValue(arrival.head.headers, 'content-encoding') ?? ''
  const fields = new JsonFields(shape.wants)
  const look = (piece: Uint8Array) => fields.push(piece)
  const bytes = body ? await readWhole(body, mostBody, coding === '' ? look : undefined) : new Uint8Array(0)
  const read = body && wholeBody(body, bytes)
  const plain = coding === '' ? bytes : decodeWithin(bytes, coding, mostBody, body?.room)
  if (!plain)
    return unpaid(rule, read, 'unmetered', 'the content coding of the request cannot be undone, so nobody knows what it asks for')
  if (coding !== '') look(plain)
  const asked = readAsked(shape, fields, call)
  if (!asked) return unpaid(rule, read, 'unmetered', 'the request is too deep or too long to be read')
  if (asked.refused !== undefined && !rule.price) return unpaid(rule, read, 'unmetered', asked.refused)
  const amended = coding === '' && amends(ask) ? shape.amend?.(bytes, asked, call) : undefined
  // Both stay, since a server may refuse what was added.
  const fits = !amended || !body?.room || body.room.take(amended.body.length)
  return await hold(ask, {
    provider,
    shape: asked.refused === undefined ? shape : undefined,
    asked,
    bodyBytes: plain.length,
    body: body && wholeBody(body, (fits && amended?.body) || bytes),
    amendment: amended && read && fits ? { fields: amended.fields, before: read, filter: amended.filter?.() } : undefined,
  })
}

/** True unless the rule forbids it, or the server is known to refuse what would be added. */
function amends({ rule, arrival, ports }: MeterAsk): boolean {
  return rule.amend && !ports.refusedFields?.has(arrival.head)
}

interface Holding {
  readonly provider: string
  readonly shape: Shape | undefined
  readonly asked: Asked
  readonly bodyBytes: number
  readonly body: RequestBody | undefined
  readonly amendment: Amendment | undefined
}

async function hold(ask: MeterAsk, holding: Holding): Promise<Metered | Unpaid> {
  const { exchange, rule, cut, seen, ports } = ask
  const { agent, snapshot } = exchange
  const { provider, shape, asked, bodyBytes, body, amendment } = holding
  const metered = new Metered({
    clock: ports.clock,
    meter: provider,
    shape,
    stream: asked.stream,
    body,
    amendment,
    requestId: seen.id,
    stop: () => cut.cut('budget'),
  })
  const order: MeteredRequest = {
    id: seen.id,
    agent: agent.id,
    budgets: agent.budgets.flatMap((id) => snapshot.budgets.get(id) ?? []),
    provider,
    model: asked.model,
    bodyBytes,
    mostOutput: asked.mostOutput,
    hiddenInput: asked.hiddenInput,
    images: asked.images,
    sound: asked.sound,
    tier: asked.tier,
    stream: asked.stream,
    prices: snapshot.prices,
    fixed: shape ? undefined : rule.price && { tokens: rule.price.tokens, nano: nanoDollars(rule.price.usd) },
    cut: (refusal) => metered.cut(refusal),
  }
  let held: Awaited<ReturnType<Ports['desk']['admit']>>
  try {
    held = await ports.desk.admit(order, cut.signal)
  } catch (cause) {
    cut.signal.throwIfAborted()
    throw new ProxyError('ledger_unavailable', 'what this request may cost cannot be written down', { cause })
  }
  seen.waited = held.waited
  if (held.kind === 'refused') {
    seen.budget = held.budget
    if (held.code === 'model_unpriced') seen.unpriced = unpricedOf(provider, asked.model)
    return { kind: 'unpaid', denial: denialOf(held, rule), body }
  }
  metered.enter(held)
  if (shape && asked.model !== undefined && pricedName(asked.model, provider, snapshot.prices) === undefined)
    seen.unpriced = unpricedOf(provider, asked.model)
  return metered
}

/** Bounded, since the agent may name anything. */
function unpricedOf(meter: string, model: string | undefined): Trace['unpriced'] {
  return model === undefined ? undefined : { meter, model: model.slice(0, 100) }
}

const nothingAsked: Asked = {
  model: undefined,
  mostOutput: undefined,
  stream: false,
  hiddenInput: false,
  continues: undefined,
  refused: undefined,
}

/** Decodes with a little room first, since most bodies are far smaller than the longest. Throws `overloaded`. */
function decodeWithin(
  bytes: Uint8Array,
  coding: string,
  mostBody: number,
  room: MemoryShare | undefined,
): Uint8Array | undefined {
  for (const most of [Math.min(Math.max(16 * bytes.length, 1 << 20), 2 * mostBody), 2 * mostBody]) {
    // Pieces of the output, and all of it joined.
    if (room && !room.take(2 * most))
      throw new ProxyError('overloaded', 'there is no room to undo the content coding of the request')
    const plain = decodeWhole(bytes, coding, most)
    room?.give(2 * most - (plain instanceof Uint8Array ? plain.length : 0))
    if (plain !== 'too long') return plain
  }
  return undefined
}

/** `undefined`: a cap of ours was met. */
function readAsked(shape: Shape, fields: JsonFields, call: Call): Asked | undefined {
  const found = fields.end()
  return fields.lost ? undefined : shape.read(found, call)
}

function unpaid(rule: Rule, body: RequestBody | undefined, code: Denial['code'], reason: string): Unpaid {
  return { kind: 'unpaid', denial: { kind: 'deny', code, reason, rule }, body }
}
