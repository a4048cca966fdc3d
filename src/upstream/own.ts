import { networkInterfaces } from 'node:os'
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import type { OwnSockets } from './guard.ts'

/** Where we listen. An unspecified address (`0.0.0.0`, `::`) is every address of this machine. */
export interface OwnSocket {
  readonly address: Address
  readonly port: number
}

/**
 * Our own sockets as a set to ask. `advertised` is where agents find us, behind whatever maps the standard ports to ours.
 */
export function ownSockets(listening: () => readonly OwnSocket[], advertised: Address): OwnSockets {
  return {
    has(address, port) {
      if (address === advertised && (port === 80 || port === 443)) return true
      return listening().some(
        (own) => own.port === port && (own.address === address || (unspecified(own.address) && isLocal(address))),
      )
    },
  }
}

function unspecified(address: Address): boolean {
  return address === '0.0.0.0' || address === '::'
}

function isLocal(address: Address): boolean {
  if (unspecified(address) || address.startsWith('127.') || address === '::1') return true
  const locals = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return locals.some((each) => parseAddress(each.address) === address)
}
