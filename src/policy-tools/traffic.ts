/** What agents did, as the audit tells it: the requests that rules would have to allow, and those that were left out. */
import { errorTable } from '#base/errors.ts'
import type { Host } from '#base/host.ts'
import { parseHost } from '#base/host.ts'
import { gitOperation } from '#policy/git.ts'
import { judgePath } from '#policy/path.ts'
import type { Segments } from '#policy/path.ts'
import type { Ask } from '#policy/types.ts'
import type { Seen, Tallied } from './audit-lines.ts'
import { compare } from './generalise.ts'
import { riskOf } from './risks.ts'
import type { Risk } from './risks.ts'

/** Requests that are alike to a rule. */
export interface Seek {
  readonly agent: string
  readonly ask: Ask
  readonly segments: Segments
  /** Credentials whose stub was sent. */
  readonly credentials: readonly string[]
  readonly git: { readonly repository: string; readonly service: 'fetch' | 'push' } | undefined
  count: number
}

export interface LeftOut {
  readonly agent: string
  readonly what: string
  readonly why: string
  count: number
}

/** A connection that was not looked into. */
export interface Spliced {
  readonly agent: string
  readonly host: Host
  readonly port: number
  count: number
}

/** Codes of report mode that a rule mends; the others stay refusals whatever a rule says. */
const mended: ReadonlySet<string> = new Set(['host_denied', 'port_denied', 'plain_denied', 'request_denied'])

/** Codes that speak of money or of an exchange that ended: the request itself is one that may be. */
const incidental: ReadonlySet<string> = new Set([
  'client_closed',
  'policy_changed',
  'budget_exhausted',
  'budget_insufficient',
  'shutting_down',
  'unmetered',
])

/** Adds up the records of a window. */
export class Traffic {
  readonly #include: ReadonlySet<Risk>
  readonly #seeks = new Map<string, Seek>()
  readonly #leftOut = new Map<string, LeftOut>()
  readonly #spliced = new Map<string, Spliced>()
  /** Where each agent spoke from. */
  readonly peers = new Map<string, Set<string>>()

  /** `include`: kinds of requests that are not left out. */
  constructor(include: ReadonlySet<Risk>) {
    this.#include = include
  }

  get seeks(): readonly Seek[] {
    return sorted(this.#seeks)
  }

  get leftOut(): readonly LeftOut[] {
    return sorted(this.#leftOut)
  }

  get spliced(): readonly Spliced[] {
    return sorted(this.#spliced)
  }

  add({ record, count }: Tallied): void {
    const { agent, type, event, verdict, host } = record
    if (agent === null || host === undefined || event === 'close') return
    if (type === 'tunnel' && event === 'open' && verdict === 'allow') return this.#splice(agent, record, count)
    if (type !== 'request' && type !== 'upgrade' && verdict !== 'deny') return
    if (type === 'dns') return
    const ask = askOf(record)
    const refused = refusalOf(record)
    if (!ask)
      return this.leave(agent, `${record.method ?? type} ${host}`, refused ?? 'it is no request that a rule can name', count)
    const what = `${ask.method} ${urlOf(ask)}`
    if (refused !== undefined && !this.#include.has('refused')) return this.leave(agent, what, refused, count)
    const risk = riskOf(agent, ask)
    if (risk && (!this.#include.has(risk.risk) || risk.risk === 'mint' || risk.risk === 'doh' || risk.risk === 'address'))
      return this.leave(agent, what, risk.why, count)
    const path = judgePath(ask.path)
    if ('refused' in path || path.obscure !== undefined)
      return this.leave(agent, what, 'refused' in path ? path.refused : (path.obscure ?? ''), count)
    this.#remember(agent, record.peer)
    const git = gitOf(ask, path.segments)
    const credentials = credentialsOf(record)
    const key = [agent, ask.scheme, ask.host, ask.port, ask.method, ask.path, git?.service, ...credentials].join(' ')
    const known = this.#seeks.get(key)
    if (known) known.count += count
    else this.#seeks.set(key, { agent, ask, segments: path.segments, credentials, git, count })
  }

  /** Lists what no rule will allow. */
  leave(agent: string, what: string, why: string, count: number): void {
    const key = `${agent} ${what} ${why}`
    const known = this.#leftOut.get(key)
    if (known) known.count += count
    else this.#leftOut.set(key, { agent, what, why, count })
  }

  #splice(agent: string, { host = '', port = 443, peer }: Seen, count: number): void {
    const name = parseHost(host)
    if (!name) return
    this.#remember(agent, peer)
    const key = `${agent} ${name} ${port}`
    const known = this.#spliced.get(key)
    if (known) known.count += count
    else this.#spliced.set(key, { agent, host: name, port, count })
  }

  #remember(agent: string, peer: string): void {
    const known = this.peers.get(agent)
    if (known) known.add(peer)
    else this.peers.set(agent, new Set([peer]))
  }
}

/** The request of a record as a policy is asked about it; the audit has no query. `undefined`: it is none. */
export function askOf({ method, scheme, host = '', port, path, git, type }: Seen): Ask | undefined {
  const name = parseHost(host)
  if (!name || method === undefined || path === undefined || type === 'tunnel' || method === 'CONNECT') return undefined
  if (scheme !== 'http' && scheme !== 'https') return undefined
  // Longer than the audit writes, or hidden as it shows a real value.
  if (!path.startsWith('/') || path.endsWith('…')) return undefined
  // Records of an older proxy do not say which it was; a clone is the lesser.
  const fetched = path.endsWith('/info/refs') ? '?service=git-upload-pack' : ''
  const query = git === 'push' ? '?service=git-receive-pack' : fetched
  return { scheme, host: name, port: port ?? (scheme === 'http' ? 80 : 443), method, path, query }
}

/** `https://host:port/path`, without the usual port. */
export function urlOf({ scheme, host, port, path }: Ask): string {
  return `${scheme}://${host}${port === (scheme === 'http' ? 80 : 443) ? '' : `:${port}`}${path}`
}

/** Why the proxy refused a request, or would have, where a rule is not what was missing. */
function refusalOf({ verdict, code, rule }: Seen): string | undefined {
  if (verdict === 'deny' && !(code !== undefined && incidental.has(code)))
    return rule !== undefined && code === 'rule_denied'
      ? `rule ${rule} refuses it`
      : `it was refused: ${code ?? 'without a code'}`
  if (verdict !== 'would_deny' || code === undefined || mended.has(code) || incidental.has(code)) return undefined
  if (code === 'rule_denied') return `rule ${rule ?? ''} refuses it`
  return Object.hasOwn(errorTable, code) ? `${code}: ${errorTable[code].message}` : code
}

function gitOf({ method, query }: Ask, segments: Segments): Seek['git'] {
  const asked = gitOperation(method, segments, query)
  return asked && asked.service !== 'lfs' ? { repository: asked.repository, service: asked.service } : undefined
}

function credentialsOf({ swaps, credential, verdict }: Seen): readonly string[] {
  const ids = swaps.map((swap) => swap.credential)
  if (verdict === 'would_deny' && credential !== undefined) ids.push(credential)
  return [...new Set(ids)].toSorted(compare)
}

function sorted<Value>(map: ReadonlyMap<string, Value>): Value[] {
  return [...map].toSorted(([one], [other]) => compare(one, other)).map(([, value]) => value)
}
