import { readQuery } from '#dns/wire.ts'
import { describe, expect, test } from 'vitest'
import { labels, opt, question } from './questions.ts'

const ok = question('good.test', 'A')

describe('a message that is not an ordinary question', () => {
  const pointer = (to: number): Buffer => Buffer.from([0xc0 | (to >> 8), to & 0xff])
  const twice = Buffer.concat([ok, labels('evil.test'), Buffer.from([0, 1, 0, 1])])
  twice.writeUInt16BE(2, 4)
  const long = Buffer.concat([...Array.from({ length: 4 }, () => labels('a'.repeat(63)).subarray(0, 64)), Buffer.from([0])])

  test.each<[string, Buffer, string]>([
    ['nothing at all', Buffer.alloc(0), 'drop'],
    ['less than a header', ok.subarray(0, 11), 'drop'],
    ['a response', question('good.test', 'A', { flags: 0x8180 }), 'drop'],
    ['a response with another opcode', question('good.test', 'A', { flags: 0xa000 }), 'drop'],
    ['opcode IQUERY', question('good.test', 'A', { flags: 0x0800 }), 'NOTIMP'],
    ['opcode NOTIFY', question('good.test', 'A', { flags: 0x2000 }), 'NOTIMP'],
    ['opcode UPDATE', question('good.test', 'A', { flags: 0x2800 }), 'NOTIMP'],
    ['a header alone', ok.subarray(0, 12), 'FORMERR'],
    ['no question', question('good.test', 'A', { counts: [0, 0, 0, 0] }), 'FORMERR'],
    ['two questions, one of them allowed', twice, 'FORMERR'],
    ['counts of 65535', question('good.test', 'A', { counts: [65535, 65535, 65535, 65535] }), 'FORMERR'],
    ['an answer record announced', question('good.test', 'A', { counts: [1, 1, 0, 0] }), 'FORMERR'],
    ['an authority record announced', question('good.test', 'A', { counts: [1, 0, 1, 0] }), 'FORMERR'],
    [
      'two additional records',
      question('good.test', 'A', { counts: [1, 0, 0, 2], tail: Buffer.concat([opt(), opt()]) }),
      'FORMERR',
    ],
    ['a pointer to itself', question('', 'A', { labels: pointer(12) }), 'FORMERR'],
    ['a pointer forward', question('', 'A', { labels: Buffer.concat([pointer(14), labels('good.test')]) }), 'FORMERR'],
    ['a pointer into the header', question('', 'A', { labels: pointer(0) }), 'FORMERR'],
    [
      'a pointer after a label',
      question('', 'A', { labels: Buffer.concat([labels('good').subarray(0, 5), pointer(12)]) }),
      'FORMERR',
    ],
    ['label type 0x40', question('', 'A', { labels: Buffer.from([0x41, 0x61, 0]) }), 'FORMERR'],
    ['label type 0x80', question('', 'A', { labels: Buffer.from([0x81, 0x61, 0]) }), 'FORMERR'],
    ['a name of 257 bytes', question('', 'A', { labels: long }), 'FORMERR'],
    ['a name cut short', ok.subarray(0, 16), 'FORMERR'],
    ['a question without its class', ok.subarray(0, ok.length - 2), 'FORMERR'],
    ['a dot inside a label', question('', 'A', { labels: Buffer.from('\x09good.test\x00', 'latin1') }), 'FORMERR'],
    ['NUL inside a label', question('', 'A', { labels: Buffer.from('\x05go\x00od\x00', 'latin1') }), 'FORMERR'],
    ['a space inside a label', question('', 'A', { labels: Buffer.from('\x05go od\x00', 'latin1') }), 'FORMERR'],
    ['a line feed inside a label', question('', 'A', { labels: Buffer.from('\x05go\nod\x00', 'latin1') }), 'FORMERR'],
    ['a byte above ASCII inside a label', question('', 'A', { labels: Buffer.from('\x05go\xf6od\x00', 'latin1') }), 'FORMERR'],
    ['bytes after the question', Buffer.concat([ok, Buffer.from([0])]), 'FORMERR'],
    ['bytes after the OPT record', question('good.test', 'A', { tail: Buffer.concat([opt(), Buffer.from([0])]) }), 'FORMERR'],
    ['an OPT record announced and missing', question('good.test', 'A', { counts: [1, 0, 0, 1] }), 'FORMERR'],
    ['an OPT record cut short', question('good.test', 'A', { tail: opt().subarray(0, 10) }), 'FORMERR'],
    ['an OPT record of a name', question('good.test', 'A', { tail: Buffer.concat([labels('x'), opt().subarray(1)]) }), 'FORMERR'],
    [
      'an additional record that is no OPT',
      question('good.test', 'A', { tail: Buffer.from([0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]) }),
      'FORMERR',
    ],
    [
      'an option longer than its record',
      question('good.test', 'A', { tail: opt(1232, 0, Buffer.from([0, 3, 0, 9, 1])) }),
      'FORMERR',
    ],
    ['half an option header', question('good.test', 'A', { tail: opt(1232, 0, Buffer.from([0, 3, 0])) }), 'FORMERR'],
    ['EDNS version 1', question('good.test', 'A', { tail: opt(1232, 1) }), 'BADVERS'],
    ['class CH', question('version.bind', 'TXT', { class: 3 }), 'REFUSED'],
    ['class ANY', question('good.test', 'A', { class: 255 }), 'REFUSED'],
    ['a zone transfer', question('good.test', 'AXFR'), 'REFUSED'],
    ['an incremental zone transfer', question('good.test', 251), 'REFUSED'],
    ['a transaction signature as type', question('good.test', 250), 'NOTIMP'],
    ['MAILB', question('good.test', 253), 'NOTIMP'],
    ['type OPT', question('good.test', 41), 'FORMERR'],
    ['type 0', question('good.test', 0), 'FORMERR'],
  ])('%s gets %s', (_, bytes, expected) => {
    const reading = readQuery(bytes)
    expect(reading.kind === 'unfit' ? reading.rcode : reading.kind).toBe(expected)
  })
})

describe('an ordinary question', () => {
  test('is read with its id, flags, name and type, and its bytes as they came', () => {
    expect(readQuery(question('API.good.Test', 'AAAA', { id: 0xbeef, flags: 0x0110 }))).toEqual({
      kind: 'query',
      id: 0xbeef,
      opcode: 0,
      recursionDesired: true,
      checkingDisabled: true,
      question: Buffer.concat([labels('API.good.Test'), Buffer.from([0, 28, 0, 1])]),
      ednsSize: undefined,
      name: 'API.good.Test',
      type: 28,
    })
  })

  test('may be for the root', () => {
    expect(readQuery(question('', 'NS'))).toMatchObject({ kind: 'query', name: '', type: 2 })
  })

  test('may have a name of 255 bytes, and not of 256', () => {
    const name = (last: number): string => [63, 63, 63, last].map((length) => 'a'.repeat(length)).join('.')
    expect(readQuery(question(name(61), 'A'))).toMatchObject({ kind: 'query', name: name(61) })
    expect(readQuery(question(name(62), 'A'))).toMatchObject({ kind: 'unfit', rcode: 'FORMERR' })
  })

  test.each([
    [0, 512],
    [511, 512],
    [512, 512],
    [1000, 1000],
    [1232, 1232],
    [4096, 1232],
    [65535, 1232],
  ])('with an EDNS size of %i is answered within %i bytes', (sent, held) => {
    expect(readQuery(question('good.test', 'A', { tail: opt(sent) }))).toMatchObject({ kind: 'query', ednsSize: held })
  })

  test('may carry any well-formed option: NSID, a cookie, padding', () => {
    const options = Buffer.from([0, 3, 0, 0, 0, 10, 0, 2, 1, 2, 0, 12, 0, 1, 0])
    expect(readQuery(question('good.test', 'A', { tail: opt(1232, 0, options) }))).toMatchObject({ kind: 'query' })
  })
})
