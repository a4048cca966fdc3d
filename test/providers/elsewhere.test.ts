import { describe, expect, it } from 'vitest'
import { providerFor } from '#providers/index.ts'
import { JsonFields } from '#providers/scan/json-fields.ts'
import type { Asked } from '#providers/types.ts'
import { callOf } from './replies.ts'

/** What a request asks for, read from its body as the proxy does. */
function asked(address: string, body: object): Asked {
  const call = callOf(`POST https://${address}`)
  const classified = providerFor(call.host)?.classify(call)
  if (classified?.kind !== 'metered') throw new Error(`${address} is not metered`)
  const fields = new JsonFields(classified.shape.wants)
  fields.push(Buffer.from(JSON.stringify(body)))
  return classified.shape.read(fields.end(), call)
}

const claude = 'api.anthropic.com/v1/messages'
const chat = 'api.openai.com/v1/chat/completions'
const responses = 'api.openai.com/v1/responses'
const gemini = 'generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent'
const assist = 'cloudcode-pa.googleapis.com/v1internal:generateContent'
const vertex = 'us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/claude:rawPredict'
const converse = 'bedrock-runtime.us-east-1.amazonaws.com/model/m/converse'
const invoke = 'bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke'

const user = (...content: readonly object[]) => ({
  messages: [
    { role: 'user', content: 'short' },
    { role: 'user', content },
  ],
})
const document = (source: object) => ({ type: 'document', source })
const pdf = { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' }
const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0=' } }

describe('a prompt', () => {
  it.each<[string, string, object]>([
    ['a page by its address', claude, user(document({ type: 'url', url: 'https://x.test/a.pdf' }))],
    ['an uploaded file', claude, user(document({ type: 'file', file_id: 'file_1' }))],
    ['a PDF', claude, user(document(pdf))],
    ['a PDF in the result of a tool', claude, user({ type: 'tool_result', tool_use_id: 't', content: [document(pdf)] })],
    ['a PDF on Vertex', vertex, user(document(pdf))],
    ['a PDF for InvokeModel', invoke, user(document(pdf))],
    ['a file in a chat', chat, user({ type: 'file', file: { file_id: 'file-1' } })],
    [
      'a file in a response',
      responses,
      { input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'https://x.test' }] }] },
    ],
    ['an item of an earlier response', responses, { input: [{ type: 'item_reference', id: 'msg_1' }] }],
    ['a response to go on from', responses, { previous_response_id: 'resp_1', input: 'more' }],
    ['an uploaded video', gemini, { contents: [{ parts: [{ fileData: { fileUri: 'files/1' } }] }] }],
    ['an uploaded video, in the other spelling', gemini, { contents: [{ parts: [{ file_data: { file_uri: 'files/1' } }] }] }],
    ['an uploaded video, without lists', gemini, { contents: { parts: { file_data: { file_uri: 'files/1' } } } }],
    ['a PDF for Gemini', gemini, { contents: [{ parts: [{ inline_data: { mime_type: 'application/pdf', data: '' } }] }] }],
    ['a cache', gemini, { cachedContent: 'cachedContents/1' }],
    ['a cache, in the other spelling', gemini, { cached_content: 'cachedContents/1' }],
    ['a video through Code Assist', assist, { request: { contents: [{ parts: [{ fileData: { fileUri: 'files/1' } }] }] } }],
    ['a document for Converse', converse, user({ document: { format: 'pdf', name: 'd', source: { bytes: '' } } })],
    ['an image in S3', converse, user({ image: { format: 'png', source: { s3Location: { uri: 's3://b/k' } } } })],
  ])('with %s is not in its body', (_what, address, body) => {
    expect(asked(address, body)).toMatchObject({ hiddenInput: true })
  })

  it.each<[string, string, object, number]>([
    ['of words', claude, user({ type: 'text', text: 'about a url and a file' }), 0],
    ['with an image', claude, user(image), 0],
    ['with a document in plain text', claude, user(document({ type: 'text', media_type: 'text/plain', data: 'words' })), 0],
    [
      'with two images by their addresses',
      chat,
      user({ type: 'image_url', image_url: { url: 'https://x.test' } }, { type: 'image_url' }),
      2,
    ],
    [
      'with an image in a response',
      responses,
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'https://x.test' }] }] },
      1,
    ],
    ['with an image for Gemini', gemini, { contents: [{ parts: [{ inlineData: { mimeType: 'image/png', data: '' } }] }] }, 0],
    ['with an image for Converse', converse, user({ image: { format: 'png', source: { bytes: '' } } }), 0],
  ])('%s is in its body', (_what, address, body, images) => {
    expect(asked(address, body)).toMatchObject({ hiddenInput: false, images })
  })

  it('may have many thousand parts', () => {
    const content = Array.from({ length: 40_000 }, () => ({ type: 'text', text: 'x' }))
    expect(asked(chat, { messages: [{ role: 'user', content }] })).toMatchObject({ hiddenInput: false })
  })
})

describe('how a request asks to be served', () => {
  it.each<[string, object, string]>([
    [claude, { service_tier: 'auto' }, 'auto'],
    [claude, { service_tier: 'auto', speed: 'fast' }, 'fast'],
    [claude, { inference_geo: 'us' }, 'regional'],
    [claude, { speed: 'fast', inference_geo: 'us' }, 'fast+regional'],
    [claude, { service_tier: 'auto', inference_geo: 'global' }, 'auto'],
    [chat, { service_tier: 'priority' }, 'priority'],
    [responses, { service_tier: 'flex' }, 'flex'],
    [converse, { serviceTier: { type: 'priority' } }, 'priority'],
  ])('%s with %j is %s', (address, body, tier) => {
    expect(asked(address, body).tier).toBe(tier)
  })
})

describe('sound', () => {
  it.each<[string, object, boolean]>([
    [chat, user({ type: 'text' }), false],
    [chat, user({ type: 'input_audio' }), true],
    [chat, { modalities: ['text', 'audio'] }, true],
    [gemini, { contents: [{ parts: [{ inlineData: { mimeType: 'audio/mp3' } }] }] }, true],
    [gemini, { generationConfig: { responseModalities: ['AUDIO'] } }, true],
    [gemini, { contents: [{ parts: [{ inlineData: { mimeType: 'image/png' } }] }] }, false],
  ])('in a request to %s: %j is %s', (address, body, sound) => {
    expect(asked(address, body).sound).toBe(sound)
  })
})

describe('how much Gemini may answer', () => {
  it.each([
    [{ generationConfig: { maxOutputTokens: 5, candidateCount: 2 } }, 10],
    [{ generation_config: { max_output_tokens: 5, candidate_count: 3 } }, 15],
    [{ generationConfig: { maxOutputTokens: 1 }, generation_config: { maxOutputTokens: 9 } }, 9],
  ])('is read from %j', (body, most) => {
    expect(asked(gemini, body).mostOutput).toBe(most)
  })
})
