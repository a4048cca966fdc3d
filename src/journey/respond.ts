import { errorTable, lasting } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { Call, Notice, Speech } from '#providers/types.ts'
import { reasonOf } from '#wire/reason.ts'
import type { Client } from '#contracts/reply.ts'
import { reasonPhrase, repeatsServerErrors, sentence, writeRefusal } from './refusal-forms.ts'
import type { Asking, Explained } from './refusal-forms.ts'
import type { RawHeaders } from '#contracts/request.ts'

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
  /** The request, as far as it tells who asks; left out: it could not be read. */
  readonly asking?: Asking | undefined
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
  /** What stands behind the status in HTTP/1.1: pip, apt and many libraries show no more of a refusal. */
  readonly phrase: string
  readonly headers: RawHeaders
  readonly body: Buffer
}

/** What passes without an operator: a client that waits, RFC 9110 section 10.2.3, succeeds. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['credential_unavailable', 'ledger_unavailable', 'shutting_down'])

/**
 * A refusal as an HTTP reply, in the form that the client shows, and Proxy-Status (RFC 9209) for tools. Never 401: clients take
 * that for their own login having expired, and log out.
 */
export function refusalReply(refusal: Refusal): RefusalReply {
  const words = explained(refusal)
  const { type, text } = writeRefusal(words, refusal.asking)
  const own = errorTable[refusal.code].status || 400
  const status = own >= 500 && lasting.has(refusal.code) && repeatsServerErrors(refusal.asking) ? 403 : own
  const body = Buffer.from(text)
  const headers = [
    'content-type',
    type,
    'content-length',
    String(body.length),
    'cache-control',
    'no-store',
    ...proxyStatus(refusal.code),
  ]
  if (passing.has(refusal.code)) headers.push('retry-after', '5')
  if (status === 407) headers.push('proxy-authenticate', 'Basic realm="iron-proxy", charset="UTF-8"')
  if (lasting.has(refusal.code)) headers.push('x-should-retry', 'false')
  return { status, phrase: phraseOf(status, words), headers, body }
}

function phraseOf(status: number, words: Explained): string {
  return reasonPhrase(reasonOf(status), words)
}

function explained(refusal: Refusal): Explained {
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
  const { code, requestId, resetsAt } = refusal
  const kind = noticeKind(code)
  const words = explained(refusal)
  const notice = {
    kind,
    code,
    status: errorTable[code].status || 400,
    message: sentence(words),
    requestId,
    resetsAt: resetsAt === undefined ? undefined : Math.ceil(resetsAt / 1000),
  }
  const { status, headers, body } = speech.refusal(notice, call, header)
  const error = { ...words, ...body.error }
  const bytes = Buffer.from(`${JSON.stringify({ ...body, error })}\n`)
  return {
    status,
    phrase: phraseOf(status, words),
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
  if (lasting.has(code)) return 'lasting'
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
  const { status, phrase, headers, body } = voice ? spokenReply(refusal, voice) : refusalReply(refusal)
  client.head(status, headers, false, phrase)
  client.data(body)
  client.end([])
  return status
}
