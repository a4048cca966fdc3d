import { describe, expect, it } from 'vitest'
import { codex } from '#providers/codex.ts'
import { callOf, countOf, named, notice, replyOf, shapeFor, tokens } from './replies.ts'

const address = 'POST https://chatgpt.com/backend-api/codex/responses'

describe('Codex’s endpoints', () => {
  it.each([
    [address, 'metered'],
    ['POST https://eu.chatgpt.com/backend-api/codex/responses/compact', 'metered'],
    ['UPGRADE https://chatgpt.com/backend-api/codex/responses', 'fallback'],
    ['UPGRADE https://chatgpt.com/backend-api/other', 'unmetered'],
    ['GET https://chatgpt.com/backend-api/wham/accounts/check', 'free'],
    ['POST https://chatgpt.com/backend-api/codex/analytics-events', 'free'],
    ['POST https://chatgpt.com/backend-api/conversation', 'unmetered'],
  ])('%s is %s', (line, kind) => {
    expect(codex.owns(callOf(line).host)).toBe(true)
    expect(codex.classify(callOf(line)).kind).toBe(kind)
  })

  it('are on ChatGPT’s hosts and no others', () => {
    for (const host of ['api.openai.com', 'notchatgpt.com', 'chatgpt.com.evil.test']) expect(codex.owns(host)).toBe(false)
  })
})

describe('a reply to Codex', () => {
  const shape = shapeFor(codex, address)

  it('is counted as any response', () => {
    const usage = { input_tokens: 9, output_tokens: 3 }
    const event = { type: 'response.completed', response: { id: 'resp_1', usage } }
    expect(countOf(shape, replyOf('text/event-stream'), named(event)).usage?.tokens).toEqual(tokens(9, 0, 0, 3))
  })

  it('is never asked for differently: its body is compressed and attested', () => {
    expect(shape.amend).toBeUndefined()
  })

  it('is refused with what makes Codex stop', () => {
    const reply = shape.speech.refusal(notice, callOf(address), () => undefined)
    expect(reply.status).toBe(429)
    expect(reply.body).toMatchObject({ error: { type: 'usage_limit_reached', resets_at: 1_795_000_000 } })
    expect(reply.headers).toContain('x-codex-promo-message')
    expect(shape.speech.refusal({ ...notice, kind: 'denied' }, callOf(address), () => undefined).status).toBe(400)
  })
})
