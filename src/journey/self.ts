import type { Host } from '#base/host.ts'
import { patternText } from '#base/host.ts'
import { doctorScript } from './doctor-script.ts'
import type { Client } from '#contracts/reply.ts'
import type { Ports } from './ports.ts'
import type { Vault } from '#contracts/grants.ts'
import type { Trace } from './settle.ts'
import type { Exchange } from '#contracts/snapshot.ts'
import type { Outcome } from '#contracts/audit-record.ts'
import type { RequestHead } from '#contracts/request.ts'

/** The proxy's own name for agents; `.internal` is nobody else's (ICANN, 2024). No rule is needed, and none can take it away. */
export const selfHost = 'iron-proxy.internal' as Host
export const selfPath = '/v1/self'
/** The bundle, for agents that cannot reach the metrics listener; over plain HTTP too, since whoever asks may not trust us yet. */
const bundlePath = '/ca.crt'
/** A script that looks at the agent's container from inside; no secret is in it. */
const doctorPath = '/doctor'

/** What an agent is told of itself: who it is here, and how the credentials are that it may use. Never a value. */
export interface SelfReport {
  readonly agent: string
  readonly address: string
  readonly mode: 'enforce' | 'report'
  readonly policy: string
  readonly credentials: readonly { readonly id: string; readonly hosts: readonly string[]; readonly health: string }[]
}

export function asksSelf({ host, method, path }: RequestHead): boolean {
  return host === selfHost && [selfPath, bundlePath, doctorPath].includes(path) && (method === 'GET' || method === 'HEAD')
}

/** Answers for ourselves: nothing goes upstream. */
export function answerSelf(
  exchange: Exchange,
  head: RequestHead,
  client: Client,
  seen: Trace,
  { vault, bundle }: { readonly vault: Pick<Vault, 'health'> } & Pick<Ports, 'bundle'>,
): Outcome {
  if (head.path === bundlePath) return reply(client, head, seen, 'application/x-pem-file', bundle?.(exchange.agent.id) ?? '')
  if (head.path === doctorPath) return reply(client, head, seen, 'text/x-shellscript', doctorScript)
  return reply(client, head, seen, 'application/json', `${JSON.stringify(reportOn(exchange, seen, vault))}\n`)
}

function reportOn({ agent, snapshot }: Exchange, seen: Trace, vault: Pick<Vault, 'health'>): SelfReport {
  return {
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
}

function reply(client: Client, { method }: RequestHead, seen: Trace, type: string, text: string): Outcome {
  const bytes = Buffer.from(text)
  seen.status = 200
  client.head(200, ['content-type', type, 'cache-control', 'no-store', 'content-length', String(bytes.length)])
  if (method !== 'HEAD') {
    client.data(bytes)
    seen.bytesDown = bytes.length
  }
  client.end([])
  return { kind: 'replied' }
}
