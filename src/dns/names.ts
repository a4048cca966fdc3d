/** The names a policy answers or forwards on its own, indexed once per policy: the hot path walks labels, not lists. */
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import type { DnsPolicy, Policy } from '#policy/types.ts'
import type { DnsResource } from './reply.ts'

export interface Resolver {
  readonly address: Address
  readonly port: number
}

export interface Names {
  /** The records of a name as policy gives them; `undefined`: the policy gives it none. */
  recordsOf(host: Host): readonly DnsResource[] | undefined
  /** The resolvers of the longest forwarded zone that holds the name, the zone's own name included. */
  resolversOf(host: Host): readonly Resolver[] | undefined
  /** Whether the name is one of a record or below a forwarded zone, with a search domain behind it (resolv.conf(5)). */
  isExpansion(host: Host): boolean
}

const indexed = new WeakMap<DnsPolicy, Names>()

/** The index of a policy's names; made on first use and kept as long as the policy. */
export function namesOf(dns: DnsPolicy): Names {
  let names = indexed.get(dns)
  if (!names) indexed.set(dns, (names = index(dns)))
  return names
}

function index(dns: DnsPolicy): Names {
  const records = new Map<Host, DnsResource[]>()
  for (const record of dns.records) {
    const resource = read(record)
    records.set(record.name, [...(records.get(record.name) ?? []), ...(resource ? [resource] : [])])
  }
  const zones = new Map<string, readonly Resolver[]>()
  for (const { zones: texts, to } of dns.forward) {
    const resolvers = to.map(parseResolver).filter((each) => each !== undefined)
    for (const zone of texts) zones.set(zone, [...(zones.get(zone) ?? []), ...resolvers])
  }
  return {
    recordsOf: (host) => records.get(host),
    resolversOf: (host) => longestZone(zones, host),
    isExpansion(host) {
      for (let dot = host.lastIndexOf('.'); dot > 0; dot = host.lastIndexOf('.', dot - 1)) {
        const name = host.slice(0, dot) as Host
        if (records.has(name) || (!zones.has(name) && longestZone(zones, name))) return true
      }
      return false
    },
  }
}

const above = new WeakMap<Policy, ReadonlySet<string>>()

/** Whether there are names below this one: of rules that allow, of records, or of forwarded zones. */
export function hasBelow(policy: Policy, host: Host): boolean {
  let known = above.get(policy)
  if (!known) above.set(policy, (known = namesAbove(policy)))
  return known.has(host)
}

function namesAbove({ rules, dns }: Policy): ReadonlySet<string> {
  const found = new Set<string>()
  const add = (name: string): void => {
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) found.add(name.slice(dot + 1))
  }
  for (const { effect, hosts } of rules) {
    if (effect !== 'allow') continue
    for (const pattern of hosts) add(pattern.kind === 'exact' ? pattern.host : `*.${pattern.zone}`)
  }
  for (const { name } of dns.records) add(name)
  for (const zone of dns.forward.flatMap(({ zones }) => zones)) add(zone)
  return found
}

function longestZone(zones: ReadonlyMap<string, readonly Resolver[]>, host: Host): readonly Resolver[] | undefined {
  if (zones.size === 0) return undefined
  for (let name: string = host; ;) {
    const resolvers = zones.get(name)
    if (resolvers) return resolvers
    const dot = name.indexOf('.')
    if (dot < 0) return undefined
    name = name.slice(dot + 1)
  }
}

/** Reads `address`, `address:port` or `[address]:port`; the port defaults to 53. */
export function parseResolver(text: string): Resolver | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::([1-9]\d{0,4}))?$/.exec(text) ?? [undefined, undefined, text]
  const address = parseAddress(bracketed ?? plain ?? '')
  const number = port === undefined ? 53 : Number(port)
  return address && number <= 65535 ? { address, port: number } : undefined
}

/** `undefined`: the value does not fit its type; the name then exists without it. */
function read({ type, value }: DnsPolicy['records'][number]): DnsResource | undefined {
  switch (type) {
    case 'A':
    case 'AAAA': {
      // dns2 reads IPv6 only in canonical text, and a mapped IPv4 address is no answer to AAAA.
      const address = parseAddress(value)
      return address && address.includes(':') === (type === 'AAAA') ? { kind: type, address } : undefined
    }
    case 'CNAME': {
      const target = parseHost(value)
      return target && { kind: 'CNAME', target }
    }
    case 'TXT':
      return { kind: 'TXT', text: value }
    default:
      return type satisfies never
  }
}
