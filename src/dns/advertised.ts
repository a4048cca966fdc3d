import { lookup } from 'node:dns/promises'
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'

export interface Advertised {
  /** What our DNS answers. */
  readonly advertise: Address
  /** Name of the Service that leads agents here; left out: there is none. */
  readonly service?: string | undefined
  /** Left out: the resolver of this machine. */
  readonly resolve?: (name: string) => Promise<readonly string[]>
}

/**
 * What is wrong with the address that agents are sent to, in words for the log; `undefined`: nothing. An address that was changed in
 * one place alone gives no error anywhere: agents are led to where no proxy is.
 */
export async function adviseOnAddress({ advertise, service, resolve = addressesOf }: Advertised): Promise<string | undefined> {
  if (service === undefined) return undefined
  try {
    const found = (await resolve(service)).flatMap((each) => parseAddress(each) ?? [])
    if (found.includes(advertise)) return undefined
    return `DNS sends agents to ${advertise} (advertise), and the Service ${service} has ${found.join(', ')}: set both from one place, deploy/kustomize/components/addresses or service.clusterIP of the chart`
  } catch (error) {
    return `the Service ${service} cannot be resolved (${(error as NodeJS.ErrnoException).code ?? 'no answer'}), so advertise cannot be compared with its address`
  }
}

async function addressesOf(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address)
}
