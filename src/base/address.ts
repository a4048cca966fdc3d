import ipaddr from 'ipaddr.js'

/** An IP address in canonical text; IPv4 mapped into IPv6 is written as IPv4. Made only by `parseAddress`. */
export type Address = string & { readonly __brand: 'Address' }

/** A parsed range such as `10.0.0.0/8` or `fd00::/8`. */
export interface Cidr {
  readonly text: string
  readonly base: ipaddr.IPv4 | ipaddr.IPv6
  readonly bits: number
}

/**
 * Reads a dotted quad or an RFC 4291 IPv6 address. Octal, hex, short and zoned spellings are refused, since two readers
 * could take them for different addresses.
 */
export function parseAddress(text: string): Address | undefined {
  const parsed = parse(text)
  return parsed && (parsed.toString() as Address)
}

/** Reads `address/bits`; a bare address is a range of one. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  const base = parse(slash < 0 ? text : text.slice(0, slash))
  if (!base) return undefined
  const widest = base.kind() === 'ipv4' ? 32 : 128
  if (slash < 0) return { text, base, bits: widest }
  const bits = text.slice(slash + 1)
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > widest) return undefined
  return { text, base, bits: Number(bits) }
}

/** Whether an address lies in a range of its own family. */
export function inCidr(address: Address, cidr: Cidr): boolean {
  const parsed = parse(address)
  return parsed !== undefined && parsed.kind() === cidr.base.kind() && parsed.match(cidr.base, cidr.bits)
}

/**
 * What kind of place an address is, in the words of the IANA special-purpose registries (RFC 6890): `public` for what
 * may be dialled without being asked, else the name of the range (`private`, `loopback`, `linkLocal`, …).
 */
export function addressClass(address: Address): string {
  const parsed = parse(address)
  if (!parsed) return 'invalid'
  const range = parsed.range()
  if (range !== 'unicast') return range
  if (parsed.kind() === 'ipv4') return parsed.match(hostPlatform) ? 'reserved' : 'public'
  // The rest of the IPv6 space is unassigned (RFC 4291 section 2.4): a network may route it to anything of its own.
  return parsed.match(globalUnicast) ? 'public' : 'reserved'
}

/** All of IPv6 that IANA has assigned to be routed between networks. */
const globalUnicast = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number]
/** Azure's virtual host: ordinary by number, but each virtual machine reaches its own and reads its settings there. */
const hostPlatform = ipaddr.parseCIDR('168.63.129.16/32') as [ipaddr.IPv4, number]

/**
 * The IPv4 addresses that a translator or a tunnel would send on to: NAT64 (RFC 6052, RFC 8215), SIIT (RFC 7915), 6to4
 * (RFC 3056), Teredo's server and client (RFC 4380), and IPv4-compatible addresses (RFC 4291 section 2.5.5.1).
 */
export function embeddedAddresses(address: Address): readonly Address[] {
  const parsed = parse(address)
  if (!parsed || parsed.kind() === 'ipv4') return []
  const bytes = parsed.toByteArray()
  const at = (start: number, mask = 0): Address =>
    bytes
      .slice(start, start + 4)
      .map((byte) => byte ^ mask)
      .join('.') as Address
  const within = (text: string): boolean => parsed.match(ipaddr.parseCIDR(text))
  if (within('2002::/16')) return [at(2)]
  // The client's address is written with its bits turned.
  if (within('2001::/32')) return [at(4), at(12, 0xff)]
  const last = ['::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48']
  return last.some(within) ? [at(12)] : []
}

function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text)
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined
  const address = ipaddr.IPv6.parse(text)
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}
