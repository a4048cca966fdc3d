import { errorTable } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Client } from './ports.ts'
import type { RawHeaders } from './types.ts'

/** What an agent is told about a request that was not served. Nothing here ever holds a header value, address or stack. */
export interface Refusal {
  readonly code: ErrorCode
  readonly reason: string
  readonly requestId: string
  readonly agent?: string | undefined
  readonly rule?: string | undefined
  readonly host?: string | undefined
  readonly method?: string | undefined
  readonly path?: string | undefined
}

export interface RefusalReply {
  readonly status: number
  readonly headers: RawHeaders
  readonly body: Buffer
}

/**
 * A refusal as an HTTP reply: JSON for programs and people, and Proxy-Status (RFC 9209) for tools. Never 401: clients take
 * that for their own login having expired, and log out.
 */
export function refusalReply(refusal: Refusal): RefusalReply {
  const { status, proxyStatus, hint } = errorTable[refusal.code]
  const body = Buffer.from(
    `${JSON.stringify({
      error: {
        code: refusal.code,
        message: refusal.reason,
        agent: refusal.agent ?? null,
        rule: refusal.rule ?? null,
        host: refusal.host ?? null,
        method: refusal.method ?? null,
        path: refusal.path ?? null,
        request_id: refusal.requestId,
        hint,
      },
    })}\n`,
  )
  const headers = [
    'content-type',
    'application/json',
    'content-length',
    String(body.length),
    'cache-control',
    'no-store',
    'proxy-status',
    `iron-proxy; error=${proxyStatus}; details="${refusal.code}"`,
  ]
  if (status === 407) headers.push('proxy-authenticate', 'Basic realm="iron-proxy", charset="UTF-8"')
  return { status: status || 400, headers, body }
}

/** Says it to the agent, if nothing was said yet; else breaks the reply off. */
export function refuse(client: Client, refusal: Refusal): number {
  if (client.begun) {
    client.abort()
    return 0
  }
  const { status, headers, body } = refusalReply(refusal)
  client.head(status, headers)
  client.data(body)
  client.end([])
  return status
}
