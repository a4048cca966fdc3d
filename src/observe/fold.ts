import { tokenClasses } from '#base/usage.ts'
import { runPrefix } from '#metering/compile.ts'
import type { AuditRecord, MeteredUsage } from '#contracts/audit-record.ts'
import type { Instruments } from './instruments.ts'

/** Question types that have a label of their own; agents choose the number, so the rest is `other`. */
const questionTypes: ReadonlySet<string> = new Set([
  'A',
  'AAAA',
  'ANY',
  'CNAME',
  'HTTPS',
  'MX',
  'NS',
  'PTR',
  'SOA',
  'SRV',
  'SVCB',
  'TXT',
])

const tokenTypes = [...tokenClasses, 'reasoning'] as const

const misuses: ReadonlySet<string | undefined> = new Set([
  'stub_wrong_host',
  'stub_wrong_agent',
  'stub_cleartext',
  'stub_misplaced',
])

/**
 * A function that folds one record into the metrics. Requests count once: an upgrade when it opens, its bytes and how it
 * ended when it closes. Tunnels are no requests; their refusals, failures and bytes count.
 */
export function folding(metrics: Instruments): (record: AuditRecord) => void {
  // Agents, rules and credentials are words of the policy. The fence holds should a room ever pass on one of the wire.
  const agents = fence(1000)
  const rules = fence(5000)
  const credentials = fence(1000)
  const budgets = fence(1000)
  const models = fence(500)
  const words = fence(50)
  const requests = remembering((agent, rule, action, code_class, door) => {
    const labels = { code_class, door }
    return {
      requests: metrics.requests.series({ agent, rule, action, code_class, door }),
      duration: metrics.duration.series(labels),
      ttfb: metrics.ttfb.series(labels),
      up: metrics.transfer.series({ agent, direction: 'up' }),
      down: metrics.transfer.series({ agent, direction: 'down' }),
    }
  })
  const swaps = remembering((agent, credential, where) => {
    const place = where.slice(0, where.indexOf(':'))
    return metrics.swaps.series({ agent, credential, place })
  })

  const replies = remembering((agent, provider, model, result) => {
    const labels = { agent, provider, model }
    return {
      metered: metrics.metered.series({ ...labels, result }),
      tokens: tokenTypes.map((type) => metrics.tokens.series({ ...labels, type })),
      cost: metrics.cost.series(labels),
      firstToken: metrics.firstToken.series({ provider, model }),
    }
  })

  return (record) => {
    const agent = record.agent === null ? (record.door === 'self' ? 'self' : 'unknown') : agents(record.agent)
    if (isPlain(record)) return plain(record, agent)
    if (record.event !== 'close') opened(record, agent)
    if (record.event !== 'open') closed(record, agent)
  }

  /** What `opened` and `closed` count of such a record, in series that are not looked for again. */
  function plain(record: AuditRecord, agent: string): void {
    const { ttfb, bytesUp, bytesDown } = record
    const rule = record.rule === undefined ? 'none' : rules(record.rule)
    const series = requests(agent, rule, record.verdict, codeClass(record.status), record.door)
    series.requests.count += 1
    series.duration.observe(record.duration / 1000)
    if (ttfb !== undefined) series.ttfb.observe(ttfb / 1000)
    if (bytesUp > 0) series.up.count += bytesUp
    if (bytesDown > 0) series.down.count += bytesDown
    for (const { credential, place } of record.swaps) swaps(agent, credentials(credential), place, '', '').count += 1
    if (record.usage) counted(record.usage, agent, ttfb)
  }

  function opened(record: AuditRecord, agent: string): void {
    const { type, door, code = 'none', verdict, count = 1 } = record
    if (record.dns) {
      const { proto, qtype, outcome, rcode } = record.dns
      metrics.dns.inc(
        { proto, qtype: questionTypes.has(qtype) ? qtype : 'other', outcome: words(outcome), rcode: words(rcode) },
        count,
      )
    }
    if (type === 'request' || type === 'upgrade') {
      const rule = record.rule === undefined ? 'none' : rules(record.rule)
      metrics.requests.inc({ agent, rule, action: verdict, code_class: codeClass(record.status), door })
    }
    for (const swap of record.swaps) {
      const place = swap.place.slice(0, swap.place.indexOf(':'))
      metrics.swaps.inc({ agent, credential: credentials(swap.credential), place })
    }
    if (misuses.has(code)) metrics.misuse.inc({ agent, credential: named(record.credential), code })
    if (code === 'real_value_seen') metrics.realSeen.inc({ agent, credential: named(record.credential) })
    if (record.answered) {
      const result = record.captured ? 'captured' : 'answered'
      metrics.tokenCalls.inc({ agent, credential: named(record.credential), result })
    }
    if (code === 'token_call_refused') metrics.tokenCalls.inc({ agent, credential: named(record.credential), result: 'refused' })
    if (type === 'tls' && (code.startsWith('tls_') || code === 'client_closed'))
      metrics.handshakes.inc({ side: 'client', reason: handshakeReason(record) })
    if (code === 'upstream_tls') metrics.handshakes.inc({ side: 'upstream', reason: handshakeReason(record) })
  }

  function closed(record: AuditRecord, agent: string): void {
    const { type, door, code = 'none', verdict, count = 1, bytesUp, bytesDown, duration, ttfb } = record
    // Here and not above: a stream that was allowed may be refused or break long after it opened.
    if (verdict === 'deny') metrics.denials.inc({ agent, layer: layer(record), code }, count)
    if (verdict === 'error') metrics.failures.inc({ layer: layer(record), code }, count)
    // An upgrade lives for hours and would say nothing about requests.
    if (type === 'request') {
      const labels = { code_class: codeClass(record.status), door }
      metrics.duration.observe(labels, duration / 1000)
      if (ttfb !== undefined) metrics.ttfb.observe(labels, ttfb / 1000)
    }
    if (bytesUp > 0) metrics.transfer.inc({ agent, direction: 'up' }, bytesUp)
    if (bytesDown > 0) metrics.transfer.inc({ agent, direction: 'down' }, bytesDown)
    for (const limit in record.limits) {
      const credential = named(record.swaps[0]?.credential)
      metrics.limits.set({ credential, limit: words(limit) }, record.limits[limit] ?? 0)
    }
    if (record.waited !== undefined)
      metrics.budgetWaits.observe({ result: verdict === 'allow' ? 'held' : 'refused' }, record.waited / 1000)
    if (record.usage) counted(record.usage, agent, ttfb)
    if (record.budget !== undefined && type !== 'budget') metrics.budgetDenials.inc({ agent, budget: budgetName(record.budget) })
    for (const credential in record.scrubbed)
      metrics.scrubbed.inc({ credential: credentials(credential) }, record.scrubbed[credential] ?? 0)
  }

  function counted(usage: MeteredUsage, agent: string, ttfb: number | undefined): void {
    const { usd, estimated } = usage
    const provider = words(usage.meter)
    const series = replies(agent, provider, models(usage.model), estimated ? 'estimated' : 'reported', '')
    series.metered.count += 1
    for (let i = 0; i < tokenTypes.length; i += 1) {
      const count = usage[tokenTypes[i] as (typeof tokenTypes)[number]] ?? 0
      const type = series.tokens[i]
      if (count > 0 && type) type.count += count
    }
    if (estimated) metrics.usageMissing.inc({ provider, reason: missing(usage) })
    if (usd !== undefined && usd > 0) series.cost.count += usd
    if (ttfb !== undefined) series.firstToken.observe(ttfb / 1000)
  }

  function budgetName(budget: string): string {
    return budget.startsWith(runPrefix) ? 'run' : budgets(budget)
  }

  function named(credential: string | undefined): string {
    return credential === undefined ? 'unknown' : credentials(credential)
  }
}

function missing({ charged, output }: Pick<MeteredUsage, 'charged' | 'output'>): string {
  if (charged === 'failed') return 'failed'
  return output === undefined ? 'no_usage' : 'aborted'
}

type Words = readonly [string, string, string, string, string]

/**
 * Remembers what was made for some words. They come from fences and from lists of ours, so there are not many; a map for each word costs
 * less than joining them.
 */
function remembering<Made>(make: (...words: Words) => Made): (...words: Words) => Made {
  const known: Level<Level<Level<Level<Level<Made>>>>> = new Map()
  return (a, b, c, d, e) => {
    const found = known.get(a)?.get(b)?.get(c)?.get(d)?.get(e)
    if (found) return found
    const made = make(a, b, c, d, e)
    below(below(below(below(known, a), b), c), d).set(e, made)
    return made
  }
}

type Level<Below> = Map<string, Below>

function below<Below extends Level<unknown>>(level: Level<Below>, word: string): Below {
  let found = level.get(word)
  if (!found) level.set(word, (found = new Map() as Below))
  return found
}

/** Passes the first `limit` different words, and `other` for every later one. */
function fence(limit: number): (word: string) => string {
  const known = new Set<string>()
  return (word) => {
    if (known.has(word)) return word
    if (known.size >= limit) return 'other'
    known.add(word)
    return word
  }
}

const codeClasses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const

function codeClass(status: number | undefined): string {
  return (status !== undefined && status >= 100 && codeClasses[Math.trunc(status / 100)]) || 'none'
}

/** A request that was allowed, ran to its end, and took nothing out of the ordinary with it: most are. */
function isPlain({ type, event, code, answered, credential, scrubbed, limits, waited, budget, count }: AuditRecord): boolean {
  const ordinary = type === 'request' && event === 'exchange' && code === undefined
  const nothing = answered ?? credential ?? scrubbed ?? limits ?? waited ?? budget ?? count
  return ordinary && nothing === undefined
}

function layer({ type, door }: AuditRecord): string {
  switch (type) {
    case 'dns':
    case 'tls':
    case 'credential':
    case 'budget':
    case 'run':
    case 'operator':
      return type
    case 'tunnel':
      return door === 'proxy' ? 'connect' : 'tls'
    case 'request':
    case 'upgrade':
      return 'http'
    default:
      return type satisfies never
  }
}

/** OpenSSL's words for why, as they come in the code or message of a handshake's error. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/expired/i, 'expired'],
  [/altname|hostname/i, 'name'],
  [/unknown.ca|certificate.unknown|bad.certificate|self.signed|unable.to.(?:get|verify)/i, 'unknown_ca'],
  [/protocol|version|cipher|wrong/i, 'protocol'],
  [/reset|hang.up|closed|timeout/i, 'aborted'],
]

function handshakeReason({ code, reason = '' }: AuditRecord): string {
  if (code === 'client_closed') return 'aborted'
  if (code !== 'tls_handshake' && code !== 'upstream_tls') return (code ?? '').replace(/^tls_/, '')
  return reasons.find(([pattern]) => pattern.test(reason))?.[1] ?? 'other'
}
