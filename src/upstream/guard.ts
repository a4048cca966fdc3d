/**
 * upstream/ is sockets out: resolve, check the address, dial, pool, send. It runs after the decision only, so a denied
 * name causes no packet. Its neighbours: journey/ hands it an Outbound, nothing hands it a policy.
 */
import { addressClass, embeddedAddresses, inCidr } from '#base/address.ts'
import type { Address, Cidr } from '#base/address.ts'
import { ProxyError } from '#base/errors.ts'

/** Our own listening sockets, which must never be dialled: a request would go round in circles. */
export interface OwnSockets {
  has(address: Address, port: number): boolean
}

/**
 * The addresses of a name that may be dialled, in the resolver's order. Public ones always, any other class only inside
 * `allowPrivate`; an IPv4 address inside an IPv6 one has to be allowed too, since a translator sends on to it. Throws `destination_denied` when none is left and `proxy_loop` when one is our own socket.
 */
export function permitted(
  addresses: readonly Address[],
  port: number,
  rules: { readonly allowPrivate: readonly Cidr[]; readonly own: OwnSockets },
): readonly Address[] {
  if (addresses.some((address) => rules.own.has(address, port))) throw new ProxyError('proxy_loop')
  const allowed = (address: Address): boolean =>
    addressClass(address) === 'public' || rules.allowPrivate.some((cidr) => inCidr(address, cidr))
  const open = addresses.filter((address) => allowed(address) && embeddedAddresses(address).every(allowed))
  if (open.length === 0) throw new ProxyError('destination_denied', refused(addresses))
  return open
}

function refused(addresses: readonly Address[]): string {
  const classes = [...new Set(addresses.map(addressClass))].join(', ')
  return `the host resolves only to addresses that may not be dialled (${classes})`
}
