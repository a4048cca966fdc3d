import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { askForUsage } from '#providers/openai/amend.ts'
import type { Asked } from '#providers/types.ts'
import { unnamed } from '../replies.ts'

const asked: Asked = { model: 'm', mostOutput: 1, stream: true, hiddenInput: false, continues: undefined, refused: undefined }
const amended = (body: string, some: Partial<Asked> = {}) => {
  const found = askForUsage(Buffer.from(body), { ...asked, ...some })
  return found && Buffer.from(found.body).toString()
}

describe('a stream that does not ask for its usage', () => {
  it.each([
    ['{"model":"m","stream":true}', '{"model":"m","stream":true,"stream_options":{"include_usage":true}}'],
    [
      '{"seed":9007199254740993, "stream" : true }\n',
      '{"seed":9007199254740993, "stream" : true ,"stream_options":{"include_usage":true}}\n',
    ],
    ['{ }', '{ "stream_options":{"include_usage":true}}'],
  ])('%s is asked for it, and nothing else changes', (before, after) => {
    expect(amended(before)).toBe(after)
  })

  it('keeps the options it has', () => {
    const body = amended('{"stream":true,"stream_options":{"include_obfuscation":false},"n":1}', { hasOptions: true })
    expect(JSON.parse(body ?? '')).toEqual({
      stream: true,
      stream_options: { include_obfuscation: false, include_usage: true },
      n: 1,
    })
    expect(amended('{"stream":true,"stream_options":null}', { hasOptions: true })).toContain('"include_usage":true')
  })

  it.each([
    ['asks itself', '{}', { usageAsked: true }],
    ['is none', '{}', { stream: false }],
    ['is no object', '[]', {}],
  ])('that %s stays as it is', (_what, body, some) => {
    expect(amended(body, some)).toBeUndefined()
  })
})

describe('the reply to it', () => {
  const text = (words: string) => ({ choices: [{ delta: { content: words } }], usage: null })
  const usage = { id: 'c', choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }
  const done = 'data: [DONE]\n\n'

  const filtered = (stream: string, cuts: readonly number[]) => {
    const filter = askForUsage(Buffer.from('{}'), asked)?.filter?.()
    if (!filter) throw new Error('no filter')
    const bytes = Buffer.from(stream)
    const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((one, other) => one - other), bytes.length]
    const out = places.slice(1).map((end, i) => Buffer.from(filter.push(bytes.subarray(places[i], end))))
    return Buffer.concat([...out, Buffer.from(filter.end())]).toString()
  }

  it('loses the chunk with the usage, and nothing else, at every split', () => {
    for (const end of ['\n', '\r\n']) {
      const stream = (unnamed(text('a'), text('b'), usage) + done).replaceAll('\n', end)
      const expected = (unnamed(text('a'), text('b')) + done).replaceAll('\n', end)
      fc.assert(fc.property(fc.array(fc.nat(2000), { maxLength: 12 }), (cuts) => filtered(stream, cuts) === expected))
    }
  })

  it('passes each event as soon as it is whole', () => {
    const filter = askForUsage(Buffer.from('{}'), asked)?.filter?.()
    const event = Buffer.from(unnamed(text('a')))
    expect(Buffer.from(filter?.push(event) ?? '').equals(event)).toBe(true)
  })

  it('passes a million empty events, and takes out what stands between them', () => {
    const filter = askForUsage(Buffer.from('{}'), asked)?.filter?.()
    const usage = 'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
    const empty = '\n'.repeat(1_000_000)
    const passed = Buffer.concat([
      filter?.push(Buffer.from(empty + usage + empty)) ?? Buffer.alloc(0),
      filter?.end() ?? Buffer.alloc(0),
    ])
    expect(passed.equals(Buffer.from(empty + empty))).toBe(true)
  })

  it('keeps an event too long to be that chunk, and a last one that is cut off', () => {
    const long = unnamed(text('x'.repeat(200_000)))
    expect(filtered(long + unnamed(usage), [100, 90_000, 150_000])).toBe(long)
    expect(filtered('data: {"choices":[],"usa', [])).toBe('data: {"choices":[],"usa')
    expect(filtered(unnamed({ choices: [], note: '"usage"' }), [])).toBe(unnamed({ choices: [], note: '"usage"' }))
  })
})
