import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SseScanner } from '#providers/scan/sse.ts'

function events(chunks: readonly (string | Uint8Array)[]): readonly (readonly [string, string])[] {
  const seen: [string, string][] = []
  let data: Buffer[] = []
  const scanner = new SseScanner({
    data: (bytes, start, end) => void data.push(Buffer.from(bytes.subarray(start, end))),
    event: (name) => {
      seen.push([name, Buffer.concat(data).toString('utf8')])
      data = []
    },
  })
  for (const chunk of chunks) scanner.push(Buffer.from(chunk))
  scanner.end()
  return seen
}

describe('an event stream', () => {
  it.each<[string, string, readonly (readonly [string, string])[]]>([
    [
      'with line feeds',
      'event: a\ndata: 1\n\ndata: 2\n\n',
      [
        ['a', '1'],
        ['', '2'],
      ],
    ],
    [
      'with both',
      'event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n',
      [
        ['a', '1'],
        ['', '2'],
      ],
    ],
    [
      'with carriage returns',
      'event: a\rdata: 1\r\rdata: 2\r\r',
      [
        ['a', '1'],
        ['', '2'],
      ],
    ],
    ['with several lines of data', 'data: {\ndata:  "a":1\ndata:}\n\n', [['', '{\n "a":1\n}']]],
    ['with comments, ids and unknown fields', ': ping\nid: 7\nretry: 5\nfoo: bar\ndata:x\n\n', [['', 'x']]],
    ['with a byte order mark', '\uFEFFdata: x\n\n', [['', 'x']]],
    ['that ends without its empty line', 'data: x', [['', 'x']]],
    [
      'with an empty value',
      'data\n\ndata:\n\n',
      [
        ['', ''],
        ['', ''],
      ],
    ],
    ['with events that have no data', 'event: a\n\n\n\nevent: b\ndata: 1\n\n', [['b', '1']]],
    ['with one space taken and no more', 'data:  x \n\n', [['', ' x ']]],
    ['of nothing', '', []],
  ])('%s is split at every place alike', (_what, text, expected) => {
    const bytes = Buffer.from(text)
    expect(events([bytes])).toEqual(expected)
    for (let at = 0; at <= bytes.length; at += 1) expect(events([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected)
    expect(events([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected)
  })

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        events([bytes])
      }),
    )
  })
})
