/** Numbers of the IANA DNS registries that this room knows by name; whatever else arrives is answered by shape. */

export const types = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const

export const classIn = 1

const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const

export type Rcode = keyof typeof rcodes

/** The number of a response code; those above 15 need an OPT record (RFC 6891 section 6.1.3). */
export function rcodeNumber(rcode: Rcode): number {
  return rcodes[rcode]
}

const rcodeNames = new Map<number, string>(Object.entries(rcodes).map(([name, number]) => [number, name]))

/** The name of a response code as a metric label: `other` for what we never send ourselves. */
export function rcodeLabel(number: number): string {
  return rcodeNames.get(number) ?? 'other'
}

// The agent chooses the type, so as a label it has to come from a short list.
const labelled = ['A', 'NS', 'CNAME', 'SOA', 'PTR', 'MX', 'TXT', 'AAAA', 'SRV', 'SVCB', 'HTTPS', 'ANY'] as const
const typeNames = new Map<number, string>(labelled.map((name) => [types[name], name]))

/** The name of a query type as a metric label: one of twelve, or `other`. */
export function typeLabel(type: number): string {
  return typeNames.get(type) ?? 'other'
}

/** Codes of RFC 8914 section 4 that we give. */
export const extendedErrors = { other: 0, notReady: 14, blocked: 15, noReachableAuthority: 22 } as const
