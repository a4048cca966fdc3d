import { describe, expect, it } from 'vitest'
import { Llm } from '../kit/llm.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

const hosts = ['api.anthropic.com', 'api.openai.com', 'generativelanguage.googleapis.com'] as const

const policyOf = (tokens: number): string => `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}
credentials:
  anthropic: {kind: bearer, stub: sk-ant-stub, secret: {file: secrets/key}, hosts: [api.anthropic.com]}
  openai: {kind: bearer, stub: sk-stub-openai, secret: {file: secrets/key}, hosts: [api.openai.com]}
  gemini: {kind: header, header: x-goog-api-key, stub: gemini-key-stub, secret: {file: secrets/key}, hosts: [generativelanguage.googleapis.com]}
budgets:
  day: {window: day, tokens: ${tokens}, atLimit: cut}
rules:
  - {id: llm, hosts: [${hosts.join(', ')}], credentials: [anthropic, openai, gemini], meter: auto}
`

/** A real SDK in a process of its own: \`ask\` gives the text it was told, whole or streamed. */
const sdks = [
  {
    name: '@anthropic-ai/sdk',
    code: `
      import Anthropic from '@anthropic-ai/sdk'
      const client = new Anthropic({ apiKey: 'sk-ant-stub' })
      const request = { model: 'claude-opus-4-5', max_tokens: 1000, messages: [{ role: 'user', content: 'hello' }] }
      const whole = async () => (await client.messages.create(request)).content[0].text
      const streamed = async () => {
        let text = ''
        for await (const event of client.messages.stream({ ...request, max_tokens: 60000 })) if (event.type === 'content_block_delta') text += event.delta.text
        return text
      }`,
    refused: /402.*billing_error|Daily token budget/,
  },
  {
    name: 'openai, chat',
    code: `
      import OpenAI from 'openai'
      const client = new OpenAI({ apiKey: 'sk-stub-openai' })
      const request = { model: 'gpt-5', max_completion_tokens: 1000, messages: [{ role: 'user', content: 'hello' }] }
      const whole = async () => (await client.chat.completions.create(request)).choices[0].message.content
      const streamed = async () => {
        let text = ''
        for await (const chunk of await client.chat.completions.create({ ...request, max_completion_tokens: 60000, stream: true })) text += chunk.choices[0].delta.content ?? ''
        return text
      }`,
    refused: /402.*Daily token budget/,
  },
  {
    name: 'openai, responses',
    code: `
      import OpenAI from 'openai'
      const client = new OpenAI({ apiKey: 'sk-stub-openai' })
      const request = { model: 'gpt-5', max_output_tokens: 1000, input: 'hello' }
      const whole = async () => (await client.responses.create(request)).output_text
      const streamed = async () => {
        let text = ''
        for await (const event of await client.responses.create({ ...request, max_output_tokens: 60000, stream: true })) {
          if (event.type === 'response.output_text.delta') text += event.delta
          if (event.type === 'response.failed') throw new Error(event.response.error.message)
        }
        return text
      }`,
    refused: /402.*Daily token budget/,
  },
  {
    name: '@google/genai',
    code: `
      import { GoogleGenAI } from '@google/genai'
      const client = new GoogleGenAI({ apiKey: 'gemini-key-stub' })
      const request = { model: 'gemini-2.5-pro', contents: 'hello', config: { maxOutputTokens: 1000 } }
      const whole = async () => (await client.models.generateContent(request)).text
      const streamed = async () => {
        let text = ''
        for await (const chunk of await client.models.generateContentStream({ ...request, config: { maxOutputTokens: 60000 } })) text += chunk.text ?? ''
        return text
      }`,
    refused: /RESOURCE_EXHAUSTED.*Daily token budget|Daily token budget.*RESOURCE_EXHAUSTED/s,
  },
] as const

async function stage(tokens: number) {
  const llm = new Llm()
  const s = await scenario({
    policy: policyOf(tokens),
    secrets: ['key'],
    upstreams: {
      api: {
        hosts,
        start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate, protocol: 'h1', handler: llm.handle }),
      },
    },
  })
  /** What the SDK gives, or what it throws. */
  const ask = async (code: string, how: 'whole' | 'streamed') => {
    const { stdout, stderr } = await s.node(
      'connect',
      `${code}
      try { console.log(JSON.stringify({ text: await ${how}() })) }
      catch (error) { console.log(JSON.stringify({ error: String(error.status ?? '') + ' ' + error.message })) }`,
      { cwd: process.cwd() },
    )
    return JSON.parse(stdout.trim() || JSON.stringify({ error: stderr })) as { text?: string; error?: string }
  }
  return { llm, s, ask, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

describe.each(sdks)('$name', ({ code, refused }) => {
  it('reads replies as ever, and they are counted', async () => {
    await using on = await stage(1_000_000)
    expect(await on.ask(code, 'whole')).toEqual({ text: 'word word word ' })
    expect(await on.ask(code, 'streamed')).toEqual({ text: 'word word word ' })
    expect(on.llm.requests).toHaveLength(2)
    expect(await on.s.metrics()).toMatch(/ironproxy_budget_used_tokens\{[^}]*\} 220/)
    expect(await on.s.canaryFoundIn()).toEqual([])
  })

  it('stops after one request when the budget is used up, and shows why', async () => {
    await using on = await stage(0)
    const { error = '' } = await on.ask(code, 'whole')
    expect(error).toMatch(refused)
    expect(on.llm.requests).toHaveLength(0)
    await on.s.audited({ code: 'budget_exhausted' })
    expect(on.s.audit.filter((record) => record.code === 'budget_exhausted' && record.type === 'request')).toHaveLength(1)
  })

  it('is told in the middle of a stream that the budget is used up', async () => {
    await using on = await stage(2000)
    on.llm.with({
      pieces: 400,
      text: 'many words and many more of them, again and again; '.repeat(3),
      pace: () => new Promise((go) => setTimeout(go, 2)),
    })
    const { error = '', text } = await on.ask(code, 'streamed')
    expect(text).toBeUndefined()
    expect(error).toMatch(/Daily token budget/)
    expect(on.llm.requests[0]?.abortedAt).toBeDefined()
    expect(on.llm.requests[0]?.pieces).toBeLessThan(200)
  })
})
