import { errorTable } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Call, Notice, Speech } from '#providers/types.ts'
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
  /** Milliseconds since the epoch when a budget that is used up starts anew. */
  readonly resetsAt?: number | undefined
}

/** How the clients of a provider are told something. */
export interface Voice {
  readonly speech: Speech
  readonly call: Call
  /** Of the request, by its lower-case name. */
  readonly header: (name: string) => string | undefined
}

export interface RefusalReply {
  readonly status: number
  readonly headers: RawHeaders
  readonly body: Buffer
}

/** What passes without an operator: a client that waits, RFC 9110 section 10.2.3, succeeds. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['credential_unavailable', 'ledger_unavailable', 'shutting_down'])

/**
 * A refusal as an HTTP reply: JSON for programs and people, and Proxy-Status (RFC 9209) for tools. Never 401: clients take
 * that for their own login having expired, and log out.
 */
export function refusalReply(refusal: Refusal): RefusalReply {
  const { status } = errorTable[refusal.code]
  const body = Buffer.from(`${JSON.stringify({ error: explained(refusal) })}\n`)
  const headers = [
    'content-type',
    'application/json',
    'content-length',
    String(body.length),
    'cache-control',
    'no-store',
    ...proxyStatus(refusal.code),
  ]
  if (passing.has(refusal.code)) headers.push('retry-after', '5')
  if (status === 407) headers.push('proxy-authenticate', 'Basic realm="iron-proxy", charset="UTF-8"')
  return { status: status || 400, headers, body }
}

function explained(refusal: Refusal): object {
  return {
    code: refusal.code,
    message: refusal.reason,
    agent: refusal.agent ?? null,
    rule: refusal.rule ?? null,
    host: refusal.host ?? null,
    method: refusal.method ?? null,
    path: refusal.path ?? null,
    request_id: refusal.requestId,
    hint: errorTable[refusal.code].hint,
  }
}

/** The same as the provider would say it, so that its clients show the message and stop; what we say besides stands beside it. */
function spokenReply(refusal: Refusal, { speech, call, header }: Voice): RefusalReply {
  const { code, reason, requestId, resetsAt } = refusal
  const kind = noticeKind(code)
  const notice = {
    kind,
    code,
    message: `iron-proxy: ${reason}`,
    requestId,
    resetsAt: resetsAt === undefined ? undefined : Math.ceil(resetsAt / 1000),
  }
  const { status, headers, body } = speech.refusal(notice, call, header)
  const error = { ...explained(refusal), ...body.error }
  const bytes = Buffer.from(`${JSON.stringify({ ...body, error })}\n`)
  // What is neither forbidden nor used up keeps its own status: a body that is too long is no matter of permission.
  const own = errorTable[code].status
  return {
    status: kind === 'budget' || own === 403 ? status : own,
    headers: [
      'content-type',
      'application/json',
      'cache-control',
      'no-store',
      ...headers,
      'content-length',
      String(bytes.length),
      ...proxyStatus(code),
    ],
    body: bytes,
  }
}

function noticeKind(code: ErrorCode): Notice['kind'] {
  if (code === 'budget_exhausted' || code === 'budget_insufficient') return 'budget'
  return errorTable[code].status >= 500 ? 'unavailable' : 'denied'
}

function proxyStatus(code: ErrorCode): readonly string[] {
  return ['proxy-status', `iron-proxy; error=${errorTable[code].proxyStatus}; details="${code}"`]
}

/** Says it to the agent, if nothing was said yet; else breaks the reply off. */
export function refuse(client: Client, refusal: Refusal, voice?: Voice): number {
  if (client.begun) {
    client.abort()
    return 0
  }
  const { status, headers, body } = voice ? spokenReply(refusal, voice) : refusalReply(refusal)
  client.head(status, headers)
  client.data(body)
  client.end([])
  return status
}
