/** The threat list, part F: DNS, through the whole product. Nothing a name says leaves the house unless the policy sends it there. */
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  askUdp,
  frame,
  labels,
  openTcp,
  opt,
  question,
  read,
  unframe,
  type Edits,
  type Read,
  type TypeName,
} from '../dns/questions.ts'
import { alice, bob, policyOf, startRig, stranger, type Rig, type Verdict } from './threat-rig.ts'

let rig: Rig
const rules =
  '  - {id: pinned, hosts: [pinned.test], inspect: false}\n  - {id: never, effect: deny, hosts: [vault.zone.test], reason: ask for it}'

beforeAll(async () => {
  rig = await startRig({ rules })
  const dns = `dns:\n  forward: [{zones: [svc], to: ["127.0.0.1:${rig.scene.resolver.port}"]}]\n  records: [{name: fixed.test, type: A, value: 10.1.2.3}]`
  expect(await rig.scene.editPolicy(policyOf({ rules, dns }))).toBe(true)
})
afterAll(() => rig[Symbol.asyncDispose]())

const port = (): number => rig.scene.ports.dns

async function ask(name: string, type: TypeName | number, edits: Edits & { readonly from?: string } = {}): Promise<Read> {
  const { from = alice, ...rest } = edits
  const reply = await askUdp(port(), from, question(name, type, { tail: opt(), ...rest }))
  rig.read('dns', reply ?? '')
  return read(reply)
}

const fresh = (): string => randomBytes(8).toString('hex')
const ours = '127.0.0.1'
const addresses = ({ answers }: Read): readonly string[] => answers.map((line) => line.split(' ').at(-1) ?? '')

describe('bytes that would make a decoder loop, swell or read past the end', () => {
  const pointer = (to: number): Buffer => Buffer.from([0xc0, to])
  test.each<[string, Buffer, 'FORMERR' | 'NOTIMP' | 'REFUSED' | 'silence']>([
    ['a pointer to itself', question('', 'A', { labels: pointer(12) }), 'FORMERR'],
    ['pointers to each other', question('', 'A', { labels: Buffer.concat([pointer(14), pointer(12)]) }), 'FORMERR'],
    ['a pointer forward', question('', 'A', { labels: pointer(40) }), 'FORMERR'],
    ['counts of 65535 in twelve bytes', question('', 'A', { counts: [65535, 65535, 65535, 65535] }).subarray(0, 12), 'FORMERR'],
    ['a label of type 0x40', question('', 'A', { labels: Buffer.from([0x40, 0]) }), 'FORMERR'],
    ['a name over 255 bytes', question('', 'A', { labels: labels(`${'a'.repeat(60)}.`.repeat(5) + 'good.test') }), 'FORMERR'],
    ['a name without its end', question('good.test', 'A').subarray(0, 18), 'FORMERR'],
    [
      'a label with a dot inside',
      question('', 'A', { labels: Buffer.concat([Buffer.from([9]), Buffer.from('good.test'), Buffer.from([0])]) }),
      'FORMERR',
    ],
    ['a label with NUL', question('', 'A', { labels: labels('go\0od.test') }), 'FORMERR'],
    ['a label with a space', question('', 'A', { labels: labels('go od.test') }), 'FORMERR'],
    [
      'two questions',
      Buffer.concat([question('good.test', 'A', { counts: [2, 0, 0, 0] }), question('evil.test', 'A').subarray(12)]),
      'FORMERR',
    ],
    ['no question', question('good.test', 'A', { counts: [0, 0, 0, 0] }).subarray(0, 12), 'FORMERR'],
    ['an answer in a question', question('good.test', 'A', { counts: [1, 1, 0, 0] }), 'FORMERR'],
    ['an UPDATE', question('good.test', 'A', { flags: 5 << 11 }), 'NOTIMP'],
    ['a NOTIFY', question('good.test', 'A', { flags: 4 << 11 }), 'NOTIMP'],
    ['a reply', question('good.test', 'A', { flags: 0x8180 }), 'silence'],
    ['eleven bytes', Buffer.alloc(11), 'silence'],
    ['one byte', Buffer.alloc(1), 'silence'],
    ['another class', question('good.test', 'A', { class: 3 }), 'REFUSED'],
  ])('%s', async (_, bytes, expected) => {
    const codes = { FORMERR: 1, NOTIMP: 4, REFUSED: 5 } as const
    const before = rig.scene.resolver.packets.length
    const reply = await askUdp(port(), alice, bytes, expected === 'silence' ? 100 : 2000)
    expect(reply && (reply[3] ?? 0) & 0xf).toBe(expected === 'silence' ? undefined : codes[expected])
    expect(addresses(await ask('good.test', 'A'))).toEqual([ours])
    expect(rig.scene.resolver.packets).toHaveLength(before)
  })

  test('five hundred datagrams of noise: none of them ends the process', async () => {
    await rig.watched(
      [],
      async () => {
        const socket = createSocket('udp4')
        for (let i = 0; i < 500; i += 1) await new Promise((sent) => socket.send(randomBytes(i % 90), port(), ours, sent))
        socket.close()
        // How many records noise makes depends on the noise.
      },
      () => false,
    )
    expect(addresses(await ask('good.test', 'A'))).toEqual([ours])
  })
})

describe('a name that nobody may reach carries nothing out', () => {
  test.each<TypeName>(['A', 'AAAA', 'TXT', 'NULL', 'CNAME', 'MX', 'SRV', 'NS', 'SOA', 'HTTPS', 'SVCB', 'ANY'])(
    'as a question for %s',
    async (type) => {
      const name = `${fresh()}.tunnel.evil.test`
      const { value, records } = await rig.refused(['host_denied'], () => ask(name, type))
      expect(addresses(value).filter((address) => address !== ours)).toEqual([])
      expect(value.edns?.error?.code).toBe(15)
      expect(records[0]).toMatchObject({ type: 'dns', agent: 'alice', verdict: 'deny' })
    },
  )

  test.each(['xn--gd-emca.test', 'good.test.evil.test', 'notgood.test', 'zone.test', 'good.test.default.cluster.local'])(
    'as %s',
    async (name) => {
      const { value } = await rig.refused(['host_denied'], () => ask(name, 'A'))
      expect(value.edns?.error?.code).toBe(15)
    },
  )

  test('as a zone transfer, over UDP and TCP', async () => {
    const name = `${fresh()}.evil.test`
    const before = rig.scene.resolver.packets.length
    const line = openTcp(port(), alice)
    line.write(frame(question(name, 'AXFR')))
    const [overTcp] = unframe((await line.read((bytes) => unframe(bytes).length > 0)).bytes)
    line.socket.destroy()
    expect([(await ask(name, 'AXFR')).rcode, read(overTcp).rcode].every((rcode) => rcode === 4 || rcode === 5)).toBe(true)
    expect(rig.scene.resolver.packets).toHaveLength(before)
  })
})

describe('an allowed name gives our address and nothing that leads around us', () => {
  test.each<[TypeName, readonly string[]]>([
    ['A', [ours]],
    ['AAAA', []],
    ['HTTPS', []],
    ['SVCB', []],
    ['TXT', []],
    ['CNAME', []],
    ['MX', []],
    ['SRV', []],
    ['NS', []],
    ['NULL', []],
  ])('%s', async (type, expected) => {
    for (const name of ['good.test', `${fresh()}.zone.test`, 'pinned.test']) {
      const reply = await ask(name, type)
      expect({ rcode: reply.rcode, addresses: addresses(reply) }).toEqual({ rcode: 0, addresses: expected })
    }
    expect(rig.scene.resolver.packets).toHaveLength(0)
  })

  test('ANY gets the least there is', async () => {
    const name = `${fresh()}.zone.test`
    const { value } = await rig.refused(
      ['allow'],
      () => ask(name, 'ANY'),
      ({ host }) => host === name,
    )
    expect(value.answers).toHaveLength(1)
    expect(value.answers[0]).toContain('HINFO')
  })

  test('mixed case is the same name, and comes back as it was spelled', async () => {
    const reply = await ask('GoOd.TeSt', 'A')
    expect([addresses(reply), reply.name]).toEqual([[ours], 'GoOd.TeSt'])
  })

  test('a name under a rule that refuses', async () => {
    const { value } = await rig.refused(['rule_denied'], () => ask('vault.zone.test', 'A'))
    expect(value.edns?.error).toMatchObject({ code: 15, text: 'ask for it' })
  })

  test.each([1, 255])('EDNS version %i', async (version) => {
    const reply = await askUdp(port(), alice, question('good.test', 'A', { tail: opt(1232, version) }))
    expect(read(reply).answers).toEqual([])
    // BADVERS is 16: its upper bits stand in the OPT record (RFC 6891 section 9).
    expect((reply?.[3] ?? 1) & 0xf).toBe(0)
  })
})

describe('who asks', () => {
  test('an address outside the agents’ gets no address and no forwarded name', async () => {
    const before = rig.scene.resolver.packets.length
    const { value } = await rig.refused(
      ['agent_unknown', 'agent_unknown'],
      async () => [await ask('good.test', 'A', { from: stranger }), await ask(`${fresh()}.svc`, 'A', { from: stranger })],
      ({ peer }) => peer === stranger,
    )
    expect(value.map(({ rcode, answers }) => ({ rcode, answers }))).toEqual(value.map(() => ({ rcode: 5, answers: [] })))
    expect(rig.scene.resolver.packets).toHaveLength(before)
  })

  test('a flood from outside is not reflected: most of it gets silence', async () => {
    let replies = 0
    const socket = createSocket('udp4').on('message', () => (replies += 1))
    await new Promise<void>((bound) => socket.bind(0, stranger, bound))
    for (let i = 0; i < 2000; i += 1) socket.send(question('good.test', 'A', { id: i }), port(), ours)
    expect(addresses(await ask('good.test', 'A'))).toEqual([ours])
    await new Promise((done) => setTimeout(done, 200))
    socket.close()
    expect(replies).toBeLessThan(1000)
  })

  test('no datagram is longer than 1232 bytes, whatever a client says it takes', async () => {
    const reply = await askUdp(port(), alice, question('fixed.test', 'A', { tail: opt(65535) }))
    expect(reply?.length).toBeLessThanOrEqual(1232)
    expect(addresses(read(reply))).toEqual(['10.1.2.3'])
  })
})

describe('a forwarded zone is the one way out, and a narrow one', () => {
  test('thousands of names of one agent are cut off; the other agent’s are answered', async () => {
    rig.scene.resolver.answers.set('db.svc', ['10.43.1.2'])
    const before = rig.scene.resolver.packets.length
    const socket = createSocket('udp4')
    await new Promise<void>((bound) => socket.bind(0, alice, bound))
    let heard = 0
    socket.on('message', () => (heard += 1))
    for (let i = 0; i < 3000; i += 1) {
      socket.send(question(`${randomBytes(28).toString('hex')}.svc`, 'A', { id: i }), port(), ours)
      if (i % 100 === 99) await new Promise(setImmediate)
    }
    await new Promise((done) => setTimeout(done, 300))
    socket.close()
    expect(heard).toBeGreaterThan(0)
    // 16 KiB of new names at once, and 128 bytes a second.
    expect(rig.scene.resolver.packets.length - before).toBeLessThan(400)
    expect(addresses(await ask('db.svc', 'A', { from: bob }))).toEqual(['10.43.1.2'])
  })

  test.each<TypeName>(['HTTPS', 'SVCB', 'NULL', 'ANY', 'AXFR'])('%s is not forwarded', async (type) => {
    const before = rig.scene.resolver.packets.length
    expect((await ask('db.svc', type, { from: bob })).answers.filter((line) => !line.includes('HINFO'))).toEqual([])
    expect(rig.scene.resolver.packets).toHaveLength(before)
  })

  test('the id of what we ask is not the agent’s, and neither is the port', async () => {
    const before = rig.scene.resolver.packets.length
    for (let i = 0; i < 8; i += 1) {
      rig.scene.resolver.answers.set(`n${i}.svc`, ['10.43.1.3'])
      await ask(`n${i}.svc`, 'A', { id: 7, from: bob })
    }
    const packets = rig.scene.resolver.packets.slice(before)
    expect(new Set(packets.map(({ id }) => id)).size).toBeGreaterThan(6)
    expect(new Set(packets.map(({ sourcePort }) => sourcePort)).size).toBeGreaterThan(6)
  })

  test.each<[string, (query: Buffer) => Buffer]>([
    ['another id', (query) => edited(query, (reply) => reply.writeUInt16BE((query.readUInt16BE(0) + 1) & 0xffff, 0))],
    ['another question', (query) => edited(query, (reply) => reply.writeUInt8(0x79, 13))],
    ['no reply bit', (query) => edited(query, (reply) => reply.writeUInt16BE(0x0100, 2))],
    [
      'a pointer to itself for a name',
      (query) => Buffer.concat([edited(query, (reply) => reply.writeUInt16BE(1, 6)), Buffer.from([0xc0, query.length])]),
    ],
    ['nothing but noise', () => randomBytes(80)],
  ])('a resolver’s answer with %s never reaches the agent', async (_, lie) => {
    const name = `x${fresh()}.svc`
    rig.scene.resolver.answers.set(name, lie)
    const reply = await askUdp(port(), bob, question(name, 'A', { tail: opt() }), 500)
    expect(reply === undefined ? [] : read(reply).answers).toEqual([])
  })
})

describe('TCP', () => {
  test('a thousand pipelined questions are all answered, a length that is none ends the connection', async () => {
    const line = openTcp(port(), alice)
    line.write(Buffer.concat(Array.from({ length: 1000 }, (_, id) => frame(question('good.test', 'A', { id })))))
    const { bytes } = await line.read((got) => unframe(got).length >= 1000, 5000)
    expect(new Set(unframe(bytes).map((message) => message.readUInt16BE(0))).size).toBe(1000)
    line.write(Buffer.from([0xff, 0xff, 0]))
    expect((await line.read()).ending).not.toBe('open')
    line.socket.destroy()
  })

  test('idle connections past the cap are closed; UDP and the other agent’s TCP go on', async () => {
    const idle = await Promise.all(
      Array.from(
        { length: 80 },
        () =>
          new Promise<ReturnType<typeof connect>>((done) => {
            const socket = connect({ port: port(), host: ours, localAddress: alice }).on('error', () => {})
            socket.on('connect', () => done(socket))
          }),
      ),
    )
    await new Promise((done) => setTimeout(done, 50))
    expect(idle.filter(({ readyState }) => readyState === 'open').length).toBeLessThanOrEqual(64)
    expect(addresses(await ask('good.test', 'A'))).toEqual([ours])
    const line = openTcp(port(), bob)
    line.write(frame(question('good.test', 'A')))
    expect(unframe((await line.read((got) => unframe(got).length > 0)).bytes)).toHaveLength(1)
    line.socket.destroy()
    for (const socket of idle) socket.destroy()
  })
})

test('what was allowed a moment ago is refused as soon as the policy says so', async () => {
  const name = `${fresh()}.zone.test`
  expect(addresses(await ask(name, 'A'))).toEqual([ours])
  expect(await rig.scene.editPolicy(policyOf().replace(', "*.zone.test"', ''))).toBe(true)
  const { value } = await rig.refused(
    ['host_denied'] satisfies Verdict[],
    () => ask(name, 'A'),
    ({ host, policyHash }) => host === name && policyHash === rig.scene.app.snapshotHash(),
  )
  expect(value.edns?.error?.code).toBe(15)
})

function edited(query: Buffer, edit: (reply: Buffer) => void): Buffer {
  const reply = Buffer.from(query)
  reply.writeUInt16BE(0x8180, 2)
  edit(reply)
  return reply
}
