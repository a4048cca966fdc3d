import type { Host } from '#base/host.ts'
import { patternText } from '#base/host.ts'
import type { Client, Vault } from './ports.ts'
import type { Trace } from './settle.ts'
import type { Exchange, Outcome, RequestHead } from './types.ts'

/** The proxy's own name for agents; `.internal` is nobody else's (ICANN, 2024). No rule is needed, and none can take it away. */
export const selfHost = 'iron-proxy.internal' as Host
export const selfPath = '/v1/self'

/** What an agent is told of itself: who it is here, and how the credentials are that it may use. Never a value. */
export interface SelfReport {
  readonly agent: string
  readonly address: string
  readonly mode: 'enforce' | 'report'
  readonly policy: string
  readonly credentials: readonly { readonly id: string; readonly hosts: readonly string[]; readonly health: string }[]
}

export function asksSelf({ host, method, path }: RequestHead): boolean {
  return host === selfHost && path === selfPath && (method === 'GET' || method === 'HEAD')
}

/** Answers for ourselves: nothing goes upstream. */
export function answerSelf(
  { agent, snapshot }: Exchange,
  head: RequestHead,
  client: Client,
  seen: Trace,
  vault: Pick<Vault, 'health'>,
): Outcome {
  const report: SelfReport = {
    agent: agent.id,
    address: seen.arrival.peer.address,
    mode: agent.mode,
    policy: snapshot.hash,
    credentials: [...snapshot.credentials.values()]
      .filter(({ agents }) => agents === undefined || agents.has(agent.id))
      .map((credential) => ({
        id: credential.id,
        hosts: credential.hosts.map(patternText),
        health: vault.health(credential),
      })),
  }
  const bytes = Buffer.from(`${JSON.stringify(report)}\n`)
  seen.status = 200
  client.head(200, ['content-type', 'application/json', 'cache-control', 'no-store', 'content-length', String(bytes.length)])
  if (head.method !== 'HEAD') {
    client.data(bytes)
    seen.bytesDown = bytes.length
  }
  client.end([])
  return { kind: 'replied' }
}
