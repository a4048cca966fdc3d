import { mostRecords, readReply } from '#dns/relay.ts'
import { describe, expect, test } from 'vitest'
import { labels, opt, question } from './questions.ts'

const asked = question('db.svc', 'A').subarray(12)
const start = 12 + asked.length
const toQuestion = Buffer.from([0xc0, 12])

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function record(owner: Buffer, type: number, data: Buffer, { ttl = 5, klass = 1 } = {}): Buffer {
  const life = Buffer.alloc(4)
  life.writeUInt32BE(ttl)
  return Buffer.concat([owner, u16(type), u16(klass), life, u16(data.length), data])
}

interface Parts {
  readonly id?: number
  readonly flags?: number
  readonly question?: Buffer
  readonly answers?: readonly Buffer[]
  readonly authority?: readonly Buffer[]
  readonly additional?: readonly Buffer[]
  readonly counts?: readonly [number, number, number, number]
}

function reply({
  id = 9,
  flags = 0x8580,
  question: about = asked,
  answers = [],
  authority = [],
  additional = [],
  counts,
}: Parts): Buffer {
  const numbers = counts ?? [1, answers.length, authority.length, additional.length]
  return Buffer.concat([u16(id), u16(flags), ...numbers.map(u16), about, ...answers, ...authority, ...additional])
}

const a = record(toQuestion, 1, Buffer.from([10, 43, 1, 2]))
const kind = (bytes: Buffer): string => readReply(bytes, 9, asked).kind

describe('what is not the reply to the question is waited past', () => {
  test.each<[string, Buffer]>([
    ['a short packet', reply({}).subarray(0, 20)],
    ['another id', reply({ id: 10, answers: [a] })],
    ['a query', reply({ flags: 0x0100, answers: [a] })],
    ['another opcode', reply({ flags: 0xa180, answers: [a] })],
    ['another name', reply({ question: question('dc.svc', 'A').subarray(12), answers: [a] })],
    ['another type', reply({ question: question('db.svc', 'AAAA').subarray(12), answers: [a] })],
    ['another class', reply({ question: question('db.svc', 'A', { class: 3 }).subarray(12), answers: [a] })],
    ['no question', reply({ counts: [0, 1, 0, 0], answers: [a] })],
  ])('%s', (_, bytes) => expect(kind(bytes)).toBe('foreign'))
})

describe('a reply passes with', () => {
  const soa = Buffer.concat([labels('ns.svc'), Buffer.from([0xc0, 12]), Buffer.alloc(20)])
  test.each<[string, Parts]>([
    ['an address', { answers: [a] }],
    ['a name in another case', { question: question('DB.svc', 'A').subarray(12), answers: [a] }],
    [
      'a chain of names',
      { answers: [record(toQuestion, 5, labels('x.svc')), record(u16(0xc000 | (start + 12)), 1, Buffer.from([10, 0, 0, 1]))] },
    ],
    ['an IPv6 address', { answers: [record(toQuestion, 28, Buffer.alloc(16))] }],
    ['text', { answers: [record(toQuestion, 16, Buffer.from('\x05hello\x00', 'latin1'))] }],
    ['a service', { answers: [record(toQuestion, 33, Buffer.concat([Buffer.alloc(6), labels('x.svc')]))] }],
    ['a mail host', { answers: [record(toQuestion, 15, Buffer.concat([Buffer.alloc(2), labels('x.svc')]))] }],
    ['nothing but a start of authority', { authority: [record(toQuestion, 6, soa)] }],
    ['that the name does not exist', { flags: 0x8583 }],
  ])('%s', (_, parts) => expect(kind(reply(parts))).toBe('answer'))
})

test('truncation is told, whatever else the packet holds', () => {
  expect(kind(reply({ flags: 0x8780, answers: [Buffer.from([0xff])] }))).toBe('truncated')
})

test('records are passed on as they came, without the additional section', () => {
  const extra = record(labels('other.test'), 1, Buffer.from([6, 6, 6, 6]))
  expect(readReply(reply({ answers: [a], authority: [a], additional: [extra, opt()] }), 9, asked)).toEqual({
    kind: 'answer',
    rcode: 0,
    authoritative: true,
    answers: 1,
    authority: 1,
    records: Buffer.concat([a, a]),
  })
})

test('a lifetime with the top bit set becomes none, and the largest one below it stays', () => {
  const ttlOf = (ttl: number): number | undefined => {
    const reading = readReply(reply({ answers: [record(toQuestion, 1, Buffer.alloc(4), { ttl })] }), 9, asked)
    return reading.kind === 'answer' ? reading.records.readUInt32BE(6) : undefined
  }
  expect(ttlOf(2 ** 31)).toBe(0)
  expect(ttlOf(2 ** 32 - 1)).toBe(0)
  expect(ttlOf(2 ** 31 - 1)).toBe(2 ** 31 - 1)
  expect(ttlOf(0)).toBe(0)
})

describe('a reply is refused for', () => {
  const self = u16(0xc000 | start)
  const cname = (target: Buffer): Buffer => record(toQuestion, 5, target)
  const grown = Array.from({ length: 6 }, (_, index) => {
    const size = 12 + 51 + 2
    const before = index === 0 ? toQuestion : u16(0xc000 | (start + (index - 1) * size + 12))
    return cname(Buffer.concat([Buffer.from([50]), Buffer.alloc(50, 0x61), before]))
  })
  test.each<[string, Parts]>([
    ['more records than announced', { counts: [1, 0, 0, 0], answers: [a] }],
    ['fewer records than announced', { counts: [1, 2, 0, 0], answers: [a] }],
    ['ten thousand records', { counts: [1, 10_000, 0, 0], answers: [a] }],
    ['one record over the cap', { answers: Array.from({ length: mostRecords + 1 }, () => a) }],
    ['a pointer to itself', { answers: [record(self, 1, Buffer.alloc(4))] }],
    ['a pointer forward', { answers: [record(u16(0xc000 | (start + 2)), 1, Buffer.alloc(4))] }],
    ['a pointer into the header', { answers: [record(u16(0xc000), 1, Buffer.alloc(4))] }],
    ['a pointer into the middle of a label', { answers: [record(u16(0xc000 | 13), 1, Buffer.alloc(4))] }],
    ['a pointer into an address', { answers: [a, record(u16(0xc000 | (start + 12)), 1, Buffer.alloc(4))] }],
    ['names that grow past 255 bytes by pointers', { answers: grown }],
    ['a control byte in an owner', { answers: [record(Buffer.from([2, 0x61, 0x0a, 0]), 1, Buffer.alloc(4))] }],
    ['a dot in a target', { answers: [cname(Buffer.from('\x03a.b\x00', 'latin1'))] }],
    ['label type 0x40', { answers: [cname(Buffer.from([0x41, 0x61, 0]))] }],
    ['an address of five bytes', { answers: [record(toQuestion, 1, Buffer.alloc(5))] }],
    ['an IPv6 address of four bytes', { answers: [record(toQuestion, 28, Buffer.alloc(4))] }],
    ['a target with bytes behind it', { answers: [cname(Buffer.concat([labels('x.svc'), Buffer.from([0])]))] }],
    ['text that runs past its record', { answers: [record(toQuestion, 16, Buffer.from([9, 0x61]))] }],
    ['an HTTPS record', { answers: [record(toQuestion, 65, Buffer.from([0, 1, 0]))] }],
    ['an SVCB record', { answers: [record(toQuestion, 64, Buffer.from([0, 1, 0]))] }],
    ['another class', { answers: [record(toQuestion, 1, Buffer.alloc(4), { klass: 3 })] }],
    ['a length past the end', { answers: [a.subarray(0, a.length - 1)] }],
    ['bytes behind the last record', { answers: [a, Buffer.from([0])], counts: [1, 1, 0, 0] }],
    ['an extended response code', { additional: [record(Buffer.from([0]), 41, Buffer.alloc(0), { ttl: 0x01000000 })] }],
  ])('%s', (_, parts) => expect(kind(reply(parts))).toBe('broken'))

  test('but five names of that chain pass, so it is their length that counts', () => {
    expect(kind(reply({ answers: grown.slice(0, 4) }))).toBe('answer')
  })
})

describe('of a reply with records of other names', () => {
  const ip = (last: number): Buffer => Buffer.from([10, 0, 0, last])
  const at = (name: string, last: number): Buffer => record(labels(name), 1, ip(last))
  const alias = (name: string, target: string): Buffer => record(labels(name), 5, labels(target))
  const soa = (zone: string): Buffer => record(labels(zone), 6, Buffer.concat([labels('ns'), labels('admin'), Buffer.alloc(20)]))

  function kept(parts: Parts): readonly [number, number, Buffer] {
    const reading = readReply(reply(parts), 9, asked)
    if (reading.kind !== 'answer') throw new Error(reading.kind)
    return [reading.answers, reading.authority, reading.records]
  }

  test.each<[string, readonly Buffer[], readonly Buffer[]]>([
    ['an address of a host on the internet', [at('db.svc', 1), at('github.com', 2)], [at('db.svc', 1)]],
    ['an address of another name of the zone', [at('other.svc', 2), at('db.svc', 1)], [at('db.svc', 1)]],
    ['an address of a name below', [at('x.db.svc', 2)], []],
    ['an address of the zone', [at('svc', 2), at('', 3)], []],
    ['an alias of another name', [alias('github.com', 'db.svc'), at('db.svc', 1)], [at('db.svc', 1)]],
    ['an alias that leads to the question and its address', [alias('x.svc', 'db.svc')], []],
    ['a name that looks like the question', [at('xdb.svc', 2), at('db.svc.evil.test', 2)], []],
    [
      'a chain, in any order, and something beside it',
      [at('c.test', 1), alias('b.svc', 'c.test'), at('evil.test', 2), alias('db.svc', 'b.svc')],
      [at('c.test', 1), alias('b.svc', 'c.test'), alias('db.svc', 'b.svc')],
    ],
    [
      'a second alias, whose target is followed no more',
      [alias('db.svc', 'b.svc'), alias('db.svc', 'evil.test'), at('b.svc', 1), at('evil.test', 2)],
      [alias('db.svc', 'b.svc'), alias('db.svc', 'evil.test'), at('b.svc', 1)],
    ],
    [
      'a circle',
      [alias('db.svc', 'b.svc'), alias('b.svc', 'db.svc'), at('evil.test', 2)],
      [alias('db.svc', 'b.svc'), alias('b.svc', 'db.svc')],
    ],
    ['a DNAME above another name', [record(labels('evil.test'), 39, labels('svc')), at('db.svc', 1)], [at('db.svc', 1)]],
  ])('%s does not pass', (_, answers, expected) => {
    expect(kept({ answers })).toEqual([expected.length, 0, Buffer.concat(expected)])
  })

  test('the zone of the question may say what is not there, and no other', () => {
    const authority = [
      soa('svc'),
      soa('evil.test'),
      soa('db.svc'),
      soa('other.svc'),
      record(labels('test'), 2, labels('ns.evil.test')),
    ]
    expect(kept({ authority })).toEqual([0, 2, Buffer.concat([soa('svc'), soa('db.svc')])])
  })

  test('those that stay are written without pointers to those that go', () => {
    const evil = at('www.evil.test', 2)
    // The alias of the question leads into the name of the record that goes, and its address stands under a pointer to it.
    const into = u16(0xc000 | (start + 4))
    const answers = [
      evil,
      record(toQuestion, 5, into),
      record(into, 1, ip(1)),
      record(into, 33, Buffer.concat([Buffer.alloc(6), into])),
    ]
    const target = labels('evil.test')
    const expected = [
      record(labels('db.svc'), 5, target),
      record(target, 1, ip(1)),
      record(target, 33, Buffer.concat([Buffer.alloc(6), target])),
    ]
    expect(kept({ answers })).toEqual([3, 0, Buffer.concat(expected)])
  })

  test('names are the same in either case', () => {
    expect(kept({ answers: [alias('DB.Svc', 'B.svc'), at('b.SVC', 1)] })[0]).toBe(2)
  })
})
