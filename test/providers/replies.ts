import { expect } from 'vitest'
import type { Counted, TokenCounts } from '#base/usage.ts'
import { noTokens } from '#base/usage.ts'
import type { Call, Classified, Provider, ReplyKind, Shape } from '#providers/types.ts'

/** `POST https://host/path?query`, or `UPGRADE …` for a WebSocket handshake. */
export function callOf(text: string): Call {
  const [verb = '', address = ''] = text.split(' ')
  const { hostname, pathname, search } = new URL(address)
  return {
    host: hostname,
    method: verb === 'UPGRADE' ? 'GET' : verb,
    path: pathname,
    query: search,
    upgrade: verb === 'UPGRADE',
  }
}

export function shapeFor(provider: Provider, text: string): Shape {
  const classified: Classified = provider.classify(callOf(text))
  if (classified.kind !== 'metered') throw new Error(`${text} is ${classified.kind}`)
  return classified.shape
}

export function replyOf(contentType: string, headers: Readonly<Record<string, string>> = {}, status = 200): ReplyKind {
  return { status, contentType, header: (name) => headers[name] }
}

/**
 * Counts the bytes in one piece, byte by byte, and cut in two at many places; expects the same of all, and gives it. Nothing is
 * ever negative or no number.
 */
export function countOf(shape: Shape, reply: ReplyKind, sent: string | Uint8Array, complete = true): Counted {
  const bytes = Buffer.from(sent)
  const whole = feed(shape, reply, [bytes], complete)
  expect(
    feed(
      shape,
      reply,
      [...bytes].map((byte) => Uint8Array.of(byte)),
      complete,
    ),
  ).toEqual(whole)
  const step = Math.max(1, Math.floor(bytes.length / 400))
  for (let at = 0; at <= bytes.length; at += step)
    expect(feed(shape, reply, [bytes.subarray(0, at), bytes.subarray(at)], complete)).toEqual(whole)
  for (const tokens of [whole.usage?.tokens ?? noTokens, ...(whole.usage?.others ?? []).map((other) => other.tokens)])
    for (const count of Object.values(tokens)) expect(Number.isSafeInteger(count) && count >= 0).toBe(true)
  return whole
}

export function feed(shape: Shape, reply: ReplyKind, chunks: readonly Uint8Array[], complete = true): Counted {
  const counter = shape.counter(reply)
  for (const chunk of chunks) {
    counter.feed(chunk)
    counter.seen()
  }
  return counter.end(complete)
}

/** Input, read from the cache, written to it, output. */
export function tokens(input: number, cacheRead: number, cacheWrite: number, output: number): TokenCounts {
  return { input, cache_read: cacheRead, cache_write: cacheWrite, output }
}

/** Events with their names, as Anthropic and OpenAI's Responses write them. */
export function named(...events: readonly { readonly type: string }[]): string {
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

/** Events that are data alone. */
export function unnamed(...documents: readonly object[]): string {
  return documents.map((document) => `data: ${JSON.stringify(document)}\n\n`).join('')
}

export const notice = {
  kind: 'budget',
  code: 'budget_exhausted',
  message: 'used up',
  requestId: 'req-1',
  resetsAt: 1_795_000_000,
} as const
