import { describe, expect, it } from 'vitest'
import { chunkPrefix, joinHead, lastChunk, lastChunkWith, replyHeadText, requestHeadText } from '#wire/write.ts'

describe('the writer', () => {
  it('writes heads', () => {
    expect(requestHeadText('GET', '/x?y', ['Host', 'a', 'X-Empty', ''])).toBe('GET /x?y HTTP/1.1\r\nHost: a\r\nX-Empty: \r\n\r\n')
    expect(replyHeadText(200, 'OK', ['A', 'b'])).toBe('HTTP/1.1 200 OK\r\nA: b\r\n\r\n')
    expect(replyHeadText(299, '', [])).toBe('HTTP/1.1 299 \r\n\r\n')
  })

  it.each([
    ['nothing more', undefined, false, false, 'HEAD'],
    ['a body', 'abc', false, true, 'HEADabc'],
    ['a chunk', 'abcdefghijklmnop', true, false, 'HEAD10\r\nabcdefghijklmnop\r\n'],
    ['a chunk and the last one', 'abc', true, true, 'HEAD3\r\nabc\r\n0\r\n\r\n'],
    ['the last chunk alone', '', true, true, 'HEAD0\r\n\r\n'],
    ['no chunk yet', '', true, false, 'HEAD'],
  ])('joins a head and %s', (_title, body, chunked, last, joined) => {
    expect(joinHead('HEAD', body === undefined ? undefined : Buffer.from(body), chunked, last).toString('latin1')).toBe(joined)
  })

  it('writes obs-text as the bytes that came', () => {
    expect([...joinHead(replyHeadText(200, 'OK', ['A', '\xff']), undefined, false, false).subarray(20, 21)]).toEqual([0xff])
  })

  it('writes chunks and trailers', () => {
    expect([chunkPrefix(1), chunkPrefix(255), chunkPrefix(2 ** 40)]).toEqual(['1\r\n', 'ff\r\n', '10000000000\r\n'])
    expect(lastChunk.toString()).toBe('0\r\n\r\n')
    expect(lastChunkWith(['A', 'b'])).toBe('0\r\nA: b\r\n\r\n')
  })

  const controls = ['a\r\nX: 1', 'a\rb', 'a\nb', 'a\0b', '\u010a', '\u{1f600}']
  const names = ['', 'a b', 'a:', 'a\r\n', 'a\n', '\u0141', '\xe9', 'a\0']

  it.each(controls)('throws on the value %j', (value) => {
    for (const write of writers(['X', value])) expect(write).toThrow(TypeError)
    expect(() => replyHeadText(200, value, [])).toThrow(TypeError)
  })

  it.each(names)('throws on the name %j', (name) => {
    for (const write of writers([name, 'x'])) expect(write).toThrow(TypeError)
    expect(() => requestHeadText(name, '/', [])).toThrow(TypeError)
  })

  it.each(['', '/ HTTP/1.1\r\nX: 1', '/a b', '/\r', '/\n', '/\0', '/\t', '/\u010a'])('throws on the target %j', (target) => {
    expect(() => requestHeadText('GET', target, [])).toThrow(TypeError)
  })

  it.each([0, 99, 1000, Number.NaN])('throws on the status %d', (status) => {
    expect(() => replyHeadText(status, 'OK', [])).toThrow(TypeError)
  })
})

function writers(fields: readonly string[]): (() => string)[] {
  return [() => requestHeadText('GET', '/', fields), () => replyHeadText(200, 'OK', fields), () => lastChunkWith(fields)]
}
