/** The threat list for DNS, one test for each row that is this room's: what is sent, what comes back, and that no resolver heard of it. */
import { freshNameBytes } from '#dns/allowance.ts'
import { connections } from '#dns/server.ts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startResolver } from '../kit/resolver.ts'
import type { Resolver } from '../kit/resolver.ts'
import {
  askUdp,
  devbot,
  frame,
  infrabot,
  labels,
  openTcp,
  opt,
  question,
  read,
  snapshot,
  startDns,
  stranger,
  unframe,
} from './questions.ts'
import type { Read, RunningDns, TypeName } from './questions.ts'

let resolver: Resolver
let dns: RunningDns
beforeEach(async () => {
  resolver = await startResolver({ 'db.svc': ['10.43.1.2'] })
  dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${resolver.port}`] }] })
})
afterEach(async () => {
  await dns.stop()
  await resolver[Symbol.asyncDispose]()
})

async function ask(name: string, type: TypeName | number, edits = {}): Promise<Read> {
  return read(await askUdp(dns.port, devbot, question(name, type, { tail: opt(), ...edits })))
}

const pointer = (to: number): Buffer => Buffer.from([0xc0, to])

describe('row 85: what would make a decoder loop, swell or read past the end', () => {
  test.each<[string, Buffer, number | undefined]>([
    ['a pointer to itself, 18 bytes', question('', 'A', { labels: pointer(12) }), 1],
    ['pointers to each other', question('', 'A', { labels: Buffer.concat([pointer(14), pointer(12)]) }), 1],
    ['a pointer that grows the name', question('', 'A', { labels: Buffer.concat([labels('a').subarray(0, 2), pointer(12)]) }), 1],
    ['counts of 65535 in twelve bytes', question('', 'A', { counts: [65535, 65535, 65535, 65535] }).subarray(0, 12), 1],
    ['label type 0x40', question('', 'A', { labels: Buffer.from([0x40, 0]) }), 1],
    [
      'a name without end',
      question('', 'A', { labels: Buffer.concat(Array.from({ length: 200 }, () => labels('abcd').subarray(0, 5))) }),
      1,
    ],
    ['a truncated question', question('good.test', 'A').subarray(0, 15), 1],
    ['eleven bytes', question('good.test', 'A').subarray(0, 11), undefined],
  ])('%s', async (_, bytes, rcode) => {
    const reply = await askUdp(dns.port, devbot, bytes, rcode === undefined ? 100 : 2000)
    expect(reply && reply.readUInt8(3) & 0xf).toBe(rcode)
    expect((await ask('good.test', 'A')).rcode).toBe(0)
  })
})

test.each(['\x09good.test\x00', '\x05go\x00od\x04test\x00', '\x05go od\x04test\x00', '\x05go\nod\x04test\x00'])(
  'row 86: the label in %j is no allowed name, whatever it reads like',
  async (bytes) => {
    expect((await ask('', 'A', { labels: Buffer.from(bytes, 'latin1') })).rcode).toBe(1)
  },
)

describe('row 87: a made-up name under a refused zone carries nothing out', () => {
  test.each<TypeName>(['A', 'AAAA', 'TXT', 'NULL', 'MX', 'CNAME', 'SRV', 'NS', 'HTTPS', 'ANY'])('as %s', async (type) => {
    for (const name of ['c2VjcmV0.evil.test', 'c2VjcmV0.evil.test.agents', `${'x'.repeat(60)}.evil.test`]) await ask(name, type)
    expect(resolver.packets).toEqual([])
  })
})

test('row 89: ten thousand names under a forwarded zone are cut off, and the other agent is served', async () => {
  const tcp = openTcp(dns.port, devbot)
  const names = Array.from({ length: 2000 }, (_, index) => `${String(index).padStart(60, 'x')}.svc`)
  for (const name of names) tcp.write(frame(question(name, 'A')))
  const { bytes } = await tcp.read((received) => unframe(received).length === names.length)
  tcp.socket.destroy()
  const rcodes = unframe(bytes).map((message) => message.readUInt8(3) & 0xf)
  expect(rcodes).toHaveLength(names.length)
  expect(resolver.packets.reduce((sum, { name }) => sum + name.length, 0)).toBeLessThanOrEqual(freshNameBytes.burst)
  expect(read(await askUdp(dns.port, infrabot, question('db.svc', 'A'))).answers).toEqual(['db.svc A 60 10.43.1.2'])
  expect(dns.records.some(({ code, verdict }) => code === 'overloaded' && verdict !== 'allow')).toBe(true)
})

describe('row 90: other types and classes of an intercepted name', () => {
  test.each<[TypeName | number, number, number, string]>([
    ['TXT', 1, 0, 'no data'],
    ['NULL', 1, 0, 'no data'],
    ['CNAME', 1, 0, 'no data'],
    ['MX', 1, 0, 'no data'],
    ['SRV', 1, 0, 'no data'],
    ['ANY', 1, 0, 'good.test HINFO 30 \x07RFC8482\x00'],
    ['AXFR', 1, 5, ''],
    [251, 1, 5, ''],
    ['A', 3, 5, ''],
    ['A', 255, 5, ''],
  ])('type %s in class %i', async (type, klass, rcode, told) => {
    const reply = await ask('good.test', type, { class: klass })
    expect([reply.rcode, reply.answers[0] ?? (reply.authority.length > 0 ? 'no data' : '')]).toEqual([rcode, told])
    expect(resolver.packets).toEqual([])
  })
})

describe('rows 91 and 92: no real address, no ECH, no h3', () => {
  test.each<[string, TypeName]>([
    ['good.test', 'AAAA'],
    ['good.test', 'HTTPS'],
    ['good.test', 'SVCB'],
    ['evil.test', 'AAAA'],
    ['evil.test', 'HTTPS'],
    ['db.svc', 'HTTPS'],
    ['db.svc', 'SVCB'],
  ])('%s %s has no data', async (name, type) => {
    const reply = await ask(name, type)
    expect([reply.rcode, reply.answers, reply.authority.length]).toEqual([0, [], 1])
    expect(resolver.packets).toEqual([])
  })
})

describe('row 93: messages that are more than one plain question', () => {
  const both = Buffer.concat([question('good.test', 'A', { counts: [2, 0, 0, 0] }), question('evil.test', 'A').subarray(12)])
  test.each<[string, Buffer, number | undefined]>([
    ['two questions, one allowed', both, 1],
    ['a response', question('good.test', 'A', { flags: 0x8180 }), undefined],
    ['UPDATE', question('good.test', 'A', { flags: 0x2800 }), 4],
    ['NOTIFY', question('good.test', 'A', { flags: 0x2000 }), 4],
    ['EDNS version 1', question('good.test', 'A', { tail: opt(1232, 1) }), 16],
    ['NSID, which is not told', question('good.test', 'A', { tail: opt(1232, 0, Buffer.from([0, 3, 0, 0])) }), 0],
  ])('%s', async (_, bytes, rcode) => {
    const reply = await askUdp(dns.port, devbot, bytes, rcode === undefined ? 100 : 2000)
    expect(reply && read(reply).rcode).toBe(rcode)
    expect(reply && read(reply).edns?.error).toBeUndefined()
  })
})

describe('row 94: amplification', () => {
  test('an address outside the agents’ learns nothing, not even of a forwarded zone', async () => {
    for (const name of ['good.test', 'db.svc']) {
      const reply = read(await askUdp(dns.port, stranger, question(name, 'ANY', { tail: opt(65535) })))
      expect([reply.rcode, reply.answers, reply.authority]).toEqual([5, [], []])
    }
    expect(resolver.packets).toEqual([])
  })

  test('no datagram is longer than 1232 bytes, whatever size the client says it takes', async () => {
    resolver.answers.set(
      'big.svc',
      Array.from({ length: 120 }, (_, index) => `10.43.2.${index}`),
    )
    const message = question('big.svc', 'A', { tail: opt(65535) })
    const reply = await askUdp(dns.port, devbot, message)
    expect(reply?.length).toBeLessThanOrEqual(1232)
    expect(read(reply).tc).toBe(true)
  })
})

test('row 95: idle TCP connections to the cap leave UDP, and pipelining, as they were', async () => {
  const idle = Array.from({ length: connections.peer }, () => openTcp(dns.port, devbot))
  for (const tcp of idle) tcp.write(Buffer.from([0x0f]))
  expect((await ask('good.test', 'A')).answers).toHaveLength(1)
  const tcp = openTcp(dns.port, infrabot)
  tcp.write(Buffer.concat(Array.from({ length: 1000 }, (_, id) => frame(question('good.test', 'A', { id })))))
  const { bytes } = await tcp.read((received) => unframe(received).length === 1000)
  expect(unframe(bytes)).toHaveLength(1000)
  for (const each of [...idle, tcp]) each.socket.destroy()
})

test('row 96: a resolver’s reply with another id or question never reaches the agent', async () => {
  const poison = (query: Buffer, change: (reply: Buffer) => void): Buffer => {
    const end = query.indexOf(0, 12) + 5
    const reply = Buffer.concat([query.subarray(0, end), Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 6, 6, 6, 6])])
    reply.writeUInt16BE(0x8180, 2)
    reply.writeUInt16BE(1, 6)
    reply.writeUInt32BE(0, 8)
    change(reply)
    return reply
  }
  resolver.answers.set('id.svc', (query) => poison(query, (reply) => reply.writeUInt16BE(reply.readUInt16BE(0) ^ 0x8000, 0)))
  resolver.answers.set('name.svc', (query) => poison(query, (reply) => reply.write('game', 13)))
  const replies = await Promise.all(['id.svc', 'name.svc'].map((name) => askUdp(dns.port, devbot, question(name, 'A'), 4000)))
  expect(replies.map((reply) => [read(reply).rcode, read(reply).answers])).toEqual([
    [2, []],
    [2, []],
  ])
}, 8000)

describe('row 97: a resolver’s reply that would harm its reader is refused', () => {
  const answering =
    (count: number, records: Buffer) =>
    (query: Buffer): Buffer => {
      const reply = Buffer.concat([query.subarray(0, query.indexOf(0, 12) + 5), records])
      reply.writeUInt16BE(0x8180, 2)
      reply.writeUInt16BE(count, 6)
      reply.writeUInt32BE(0, 8)
      return reply
    }
  const cname = (target: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 5, 0, target.length]), target])
  test.each<[string, number, Buffer]>([
    ['control bytes in a name', 1, cname(Buffer.from('\x03a\nb\x00', 'latin1'))],
    ['a pointer loop', 1, cname(Buffer.from([0xc0, 12 + 8 + 4 + 12]))],
    ['ten thousand records announced', 10_000, cname(labels('x.svc'))],
    ['a key for ECH', 1, Buffer.from([0xc0, 12, 0, 65, 0, 1, 0, 0, 0, 5, 0, 3, 0, 1, 0])],
  ])('%s', async (_, count, records) => {
    resolver.answers.set('bad.svc', answering(count, records))
    expect(await ask('bad.svc', 'A')).toMatchObject({ rcode: 2, answers: [], edns: { error: { code: 22 } } })
  })

  test('a lifetime of 2^31 becomes none', async () => {
    resolver.answers.set('old.svc', answering(1, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0x80, 0, 0, 0, 0, 4, 10, 0, 0, 1])))
    expect((await ask('old.svc', 'A')).answers).toEqual(['old.svc A 0 10.0.0.1'])
  })
})

test('row 98: what was allowed a moment ago is refused once the policy says so', async () => {
  expect((await ask('matrix.good.test', 'A')).edns?.error).toBeUndefined()
  const without = snapshot({}, 'b2')
  dns.snapshot = { ...without, policy: { ...without.policy, rules: [], rulesFor: () => [] } }
  expect((await ask('matrix.good.test', 'A')).edns?.error).toEqual({ code: 15, text: 'no rule lets this agent reach this host' })
  expect((await ask('db.svc', 'A')).answers).toEqual(['db.svc A 30 10.43.0.53'])
  expect(resolver.packets).toEqual([])
})

test('a name our own search list made is asked of the cluster and never gets our address', async () => {
  expect(await ask('good.test.svc', 'A')).toMatchObject({ rcode: 3, answers: [] })
  expect(resolver.packets.map(({ name }) => name)).toEqual(['good.test.svc'])
})
