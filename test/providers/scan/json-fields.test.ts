import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonFields } from '#providers/scan/json-fields.ts'
import type { FieldPath, Fields } from '#providers/types.ts'

function scan(paths: readonly FieldPath[], chunks: readonly (string | Uint8Array)[], measure: readonly FieldPath[] = []) {
  const scanner = new JsonFields(paths, { measure })
  for (const chunk of chunks) scanner.push(Buffer.from(chunk))
  return { fields: scanner.end(), measured: scanner.measured, lost: scanner.lost }
}

const usage: readonly FieldPath[] = [['model'], ['usage'], ['response', 'usage'], ['stream']]

describe('the fields of a document', () => {
  it.each<[string, string, Fields]>([
    ['at the top', '{"model":"m","usage":{"a":1,"b":[1,{"c":"}"}]}}', { model: 'm', usage: { a: 1, b: [1, { c: '}' }] } }],
    ['below', '{"response":{"x":{"usage":1},"usage":{"a":2}}}', { 'response.usage': { a: 2 } }],
    ['of the same name elsewhere', '{"x":{"usage":1},"y":[{"usage":2}],"usage":3}', { usage: 3 }],
    ['that are atoms', '{"stream":true,"usage":null,"model":-1.5e3}', { stream: true, usage: null, model: -1500 }],
    ['with escaped keys', '{"\\u0075sage":1,"mo\\u0064el":"\\u00e9\\""}', { usage: 1, model: 'é"' }],
    ['that stand twice', '{"usage":1,"usage":{"a":2}}', { usage: { a: 2 } }],
    ['with white space', ' \r\n\t{ "usage" : { } , "model" : "" } ', { usage: {}, model: '' }],
    ['after a byte order mark', '\uFEFF{"usage":1}', { usage: 1 }],
    ['after strings full of quotes', '{"a":"\\\\\\"usage\\":{","usage":1}', { usage: 1 }],
    ['of what is cut', '{"model":"m","usage":{"a":1', { model: 'm' }],
    ['of an array', '[{"usage":1}]', {}],
    ['of nothing', '', {}],
    ['of junk', 'event: }{]["usage":1', {}],
  ])('%s are found', (_what, text, fields) => {
    expect(scan(usage, [text]).fields).toEqual(fields)
  })

  it('are those of every element where the path says so', () => {
    const text = '{"choices":[{"delta":{"content":"ab"}},{"delta":{}},{"delta":{"content":"c"}}]}'
    expect(scan([['choices', '*', 'delta', 'content']], [text]).fields).toEqual({ 'choices.*.delta.content': ['ab', 'c'] })
    expect(scan([], [text], [['choices', '*', 'delta', 'content']]).measured).toBe('"ab""c"'.length)
  })

  it('are the same at every split', () => {
    const text = Buffer.from(
      '{"a":["\\"",{"usage":0}],"model":"gr\\u00fcn \\\\ é","response":{"usage":{"x":[1,2,{"y":"]}"}]}},"stream":false}',
    )
    const whole = scan(usage, [text])
    for (let at = 0; at <= text.length; at += 1) expect(scan(usage, [text.subarray(0, at), text.subarray(at)])).toEqual(whole)
    expect(
      scan(
        usage,
        [...text].map((byte) => Uint8Array.of(byte)),
      ),
    ).toEqual(whole)
  })

  it('are what JSON.parse finds, whatever the document and the split', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 4 }),
        fc.json({ maxDepth: 3 }),
        fc.array(fc.nat(200), { maxLength: 6 }),
        (other, value, cuts) => {
          const text = Buffer.from(`{"other":${other},"response":{"n":${other},"usage":${value}},"usage":${value}}`)
          const places = [0, ...cuts.map((cut) => cut % text.length).toSorted((one, next) => one - next), text.length]
          const chunks = places.slice(1).map((end, i) => text.subarray(places[i], end))
          expect(scan(usage, chunks).fields).toEqual({ usage: JSON.parse(value), 'response.usage': JSON.parse(value) })
        },
      ),
    )
  })

  it('never throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        scan(usage, [bytes, bytes])
      }),
    )
  })

  it('that are too long are lost, and said to be', () => {
    expect(scan(usage, [`{"usage":"${'x'.repeat(70_000)}","model":"m"}`])).toMatchObject({ lost: true, fields: { model: 'm' } })
  })

  it('behind a long string are found, and the string is not kept', () => {
    const scanner = new JsonFields(usage)
    scanner.push(Buffer.from('{"input":"'))
    const piece = Buffer.alloc(1 << 20, 'a\\"b')
    for (let i = 0; i < 32; i += 1) scanner.push(piece)
    scanner.push(Buffer.from('","usage":7}'))
    expect(scanner.end()).toEqual({ usage: 7 })
    expect(scanner.lost).toBe(false)
  })

  it('behind a million short strings are found, which looks for no backslash a million times', () => {
    const body = `{"input":[${'"a",'.repeat(1_000_000)}"\\""],"usage":7}`
    expect(scan(usage, [body]).fields).toEqual({ usage: 7 })
  })

  it('that are one of very many are lost, and said to be', () => {
    const list = (length: number) => `{"list":[${Array.from({ length }, () => '{"type":"t"}').join()}],"usage":1}`
    const wanted: readonly FieldPath[] = [['list', '*', 'type'], ['usage']]
    expect(scan(wanted, [list(50_000)])).toMatchObject({ lost: false, fields: { usage: 1 } })
    expect(scan(wanted, [list(50_001)]).lost).toBe(true)
  })

  it('in a pit of brackets are lost, and said to be', () => {
    expect(scan(usage, [`{"usage":${'['.repeat(600)}`]).lost).toBe(true)
    expect(scan(usage, [`{"x":${'['.repeat(500)}${']'.repeat(500)},"usage":1}`])).toMatchObject({
      lost: false,
      fields: { usage: 1 },
    })
  })
})

describe('a document that breaks off', () => {
  it.each(['{"us', '{"usage', '{"other\\', '{"usage":"x', '{"a":{"usage":1'])('at %j leaves nothing to the next', (broken) => {
    const scanner = new JsonFields(usage)
    scanner.push(Buffer.from(broken))
    scanner.end()
    scanner.reset()
    scanner.push(Buffer.from('{"usage":7}'))
    expect(scanner.end()).toEqual({ usage: 7 })
  })
})

describe('the elements of an array', () => {
  it('are documents of their own, told as they end', () => {
    const text = Buffer.from('[{"usage":1,"t":"]}\\""},\n {"x":[{"usage":9}]} ,{"usage":{"a":[2]}}]')
    for (let at = 0; at <= text.length; at += 1) {
      const seen: Fields[] = []
      const scanner = new JsonFields(usage, { onElement: (fields) => seen.push(fields) })
      scanner.push(text.subarray(0, at))
      scanner.push(text.subarray(at))
      expect(seen).toEqual([{ usage: 1 }, {}, { usage: { a: [2] } }])
    }
  })
})
