import { parseAddress } from './address.ts'
import type { Address } from './address.ts'

/** An address that may name a port. */
export interface Endpoint {
  readonly address: Address
  readonly port: number | undefined
}

/** Reads `address`, `address:port` or `[address]:port`; a port is plain decimal from 1 to 65535. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const bare = parseAddress(text)
  if (bare) return { address: bare, port: undefined }
  const parts = /^(?:\[([^\]]+)\]|([\d.]+)):([1-9]\d{0,4})$/.exec(text)
  const address = parseAddress(parts?.[1] ?? parts?.[2] ?? '')
  const port = Number(parts?.[3])
  return address && port <= 65535 ? { address, port } : undefined
}
