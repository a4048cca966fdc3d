import { lookup, Resolver } from 'node:dns/promises'
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import { SingleFlight } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { Host } from '#base/host.ts'

/** Every address of a name. Throws `upstream_unresolved` or `upstream_dns_timeout`. */
export type Resolve = (host: Host) => Promise<readonly Address[]>

const timeout = 5_000

/**
 * Resolves by the operating system, or by the given resolvers alone. Questions for one name that is already being
 * asked share the answer; nothing is kept afterwards, since pools make new connections rare.
 */
export function resolver(servers: 'system' | readonly string[]): Resolve {
  const flights = new SingleFlight<Host, readonly Address[]>()
  const ask = servers === 'system' ? askSystem : askServers(servers)
  return (host) => flights.run(host, () => within(timeout, ask(host)))
}

async function askSystem(host: Host): Promise<readonly Address[]> {
  try {
    const found = await lookup(host, { all: true, verbatim: true })
    return usable(found.map(({ address }) => address))
  } catch (error) {
    throw failed(error)
  }
}

function askServers(servers: readonly string[]): Resolve {
  const client = new Resolver({ timeout: 2_000, tries: 2 })
  client.setServers(servers)
  return async (host) => {
    const [v4, v6] = await Promise.allSettled([client.resolve4(host), client.resolve6(host)])
    const found = [v4, v6].flatMap((each) => (each.status === 'fulfilled' ? each.value : []))
    if (found.length === 0 && v4.status === 'rejected') throw failed(v4.reason)
    return usable(found)
  }
}

function usable(texts: readonly string[]): readonly Address[] {
  const addresses = texts.map(parseAddress).filter((address) => address !== undefined)
  if (addresses.length === 0) throw new ProxyError('upstream_unresolved')
  return addresses
}

function failed(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause
  const code = (cause as NodeJS.ErrnoException).code
  return new ProxyError(code === 'ETIMEOUT' || code === 'ETIMEDOUT' ? 'upstream_dns_timeout' : 'upstream_unresolved', undefined, {
    cause,
  })
}

/** getaddrinfo has no deadline of its own and cannot be stopped; the exchange must not wait for it. */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ProxyError('upstream_dns_timeout')), milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
