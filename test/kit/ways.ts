import type { Door } from './doors.ts'

/** One way through the proxy: a door, the protocol the agent speaks there, and the host with the protocol it speaks. */
export interface Way {
  readonly name: string
  readonly door: Door
  readonly scheme: 'http' | 'https'
  readonly agent: 'h1' | 'h2'
  readonly upstream: 'h1' | 'h2' | 'plain'
  /** A host that a credential is scoped to. */
  readonly host: string
  /** A host of the same upstream that knows no credential. */
  readonly open: string
  /** Arguments for curl that choose the protocol. */
  readonly curl: readonly string[]
}

export const upstreamHosts = {
  h1: ['one.test', 'open.one.test'],
  h2: ['two.test', 'open.two.test'],
  plain: ['plain.test', 'open.plain.test'],
} as const

function way(door: Door, scheme: Way['scheme'], agent: Way['agent'], upstream: Way['upstream']): Way {
  const [host, open] = upstreamHosts[upstream]
  const curl = [agent === 'h2' ? '--http2' : '--http1.1']
  return { name: `${door}, ${scheme}, ${agent} to a ${upstream} host`, door, scheme, agent, upstream, host, open, curl }
}

const pairings = (['h1', 'h2'] as const).flatMap((agent) => (['h1', 'h2'] as const).map((upstream) => [agent, upstream] as const))

/** Every door, and behind those for TLS every pairing of protocols. */
export const ways: readonly Way[] = [
  ...(['connect', 'transparent'] as const).flatMap((door) =>
    pairings.map(([agent, upstream]) => way(door, 'https', agent, upstream)),
  ),
  way('http', 'http', 'h1', 'plain'),
  way('absolute', 'http', 'h1', 'plain'),
  way('connect', 'http', 'h1', 'plain'),
]

/** Those over TLS: a credential is never swapped elsewhere. */
export const secureWays = ways.filter(({ scheme }) => scheme === 'https')
