/** How clients of OpenAI's APIs are told something, so that they stop and show it. */
import { boundedRetry, noRetry, spoken } from '../speech.ts'
import type { Notice, ReplyKind, Speech, SpokenReply } from '../types.ts'

/** Chat completions, completions and embeddings: the SDKs stop at a 402 and show its message. */
export const chatSpeech: Speech = {
  refusal: (notice) => refusal(notice),
  cut(notice, { contentType }) {
    return contentType === 'text/event-stream' ? Buffer.from(`data: ${JSON.stringify(errorBody(notice))}\n\n`) : undefined
  },
}

/** Responses: Codex takes a 402 for something to try again, and `usage_limit_reached` for the end. */
export const responsesSpeech: Speech = {
  refusal(notice, { host }, header) {
    const codex = host === 'chatgpt.com' || host.endsWith('.chatgpt.com') || /^codex/i.test(header('originator') ?? '')
    if (!codex || notice.kind === 'unavailable') return refusal(notice)
    const { message, resetsAt, requestId } = notice
    if (notice.kind === 'denied' || notice.kind === 'lasting')
      return spoken(notice.kind === 'denied' ? shownStatus(notice.status) : 400, noRetry, errorBody(notice))
    const error = { type: 'usage_limit_reached', message, ...(resetsAt !== undefined && { resets_at: resetsAt }) }
    return spoken(429, [...noRetry, 'x-codex-promo-message', headerText(message)], { error, request_id: requestId })
  },
  cut(notice: Notice, { contentType }: ReplyKind) {
    if (contentType !== 'text/event-stream') return undefined
    const { message, requestId } = notice
    const response = { id: requestId, object: 'response', status: 'failed', error: { code: 'insufficient_quota', message } }
    return Buffer.from(`event: response.failed\ndata: ${JSON.stringify({ type: 'response.failed', response })}\n\n`)
  },
}

/** A 403 Codex would send six times; a plain 400 it shows as it stands. */
function shownStatus(status = 403): number {
  return status === 403 ? 400 : status
}

function refusal(notice: Notice): SpokenReply {
  switch (notice.kind) {
    case 'budget':
      return spoken(402, noRetry, errorBody(notice))
    case 'denied':
      return spoken(notice.status ?? 403, noRetry, errorBody(notice))
    case 'lasting':
      return spoken(400, noRetry, errorBody(notice))
    case 'unavailable':
      return spoken(notice.status ?? 503, boundedRetry, errorBody(notice))
    default:
      return notice.kind satisfies never
  }
}

function errorBody({ kind, code, message, requestId }: Notice): SpokenReply['body'] {
  const type = kind === 'budget' ? 'budget_exceeded' : code
  return { error: { message, type, param: null, code: type }, request_id: requestId }
}

function headerText(message: string): string {
  return message.replaceAll(/[^ -~]/g, '?')
}
