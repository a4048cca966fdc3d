import type { Address } from '#base/address.ts'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import { freshNameBytes } from '#dns/allowance.ts'
import { concurrency, Forwarder } from '#dns/forward.ts'
import type { Forwarded } from '#dns/forward.ts'
import type { Resolver as Target } from '#dns/names.ts'
import { readQuery } from '#dns/wire.ts'
import { createSocket } from 'node:dgram'
import type { RemoteInfo, Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { ManualClock } from '../kit/clock.ts'
import { startResolver } from '../kit/resolver.ts'
import type { Resolver, ResolverAnswer } from '../kit/resolver.ts'
import { opt, question } from './questions.ts'

let forwarder: Forwarder
let resolver: Resolver
const answers: Record<string, ResolverAnswer> = {
  'db.svc': ['10.43.1.2'],
  'slow.svc': 'silence',
  'big.svc': { truncated: Array.from({ length: 60 }, (_, index) => `10.43.2.${index}`) },
  'refused.svc': { rcode: 5 },
  'failing.svc': { rcode: 2 },
  'gone.svc': { rcode: 3 },
}
beforeEach(async () => {
  forwarder = new Forwarder(new ManualClock())
  resolver = await startResolver(answers)
})
afterEach(async () => {
  forwarder.stop()
  await resolver[Symbol.asyncDispose]()
})

function ask(name: string, to: readonly number[] = [resolver.port], agent = 'devbot', edits = {}): Promise<Forwarded> {
  const reading = readQuery(question(name, 'A', edits))
  if (reading.kind !== 'query') throw new Error(reading.kind)
  return forwarder.ask(agent, parseHost(name) as Host, reading, to.map(target))
}

function target(port: number): Target {
  return { address: '127.0.0.1' as Address, port }
}

/** The IPv4 addresses at the ends of the records; enough for records of our own making. */
function addresses(got: Forwarded): string[] {
  if (got.kind !== 'answer') return [got.code]
  const { records, answers: count } = got.reply
  return Array.from({ length: count }, (_, index) => [...records.subarray(index * 16 + 12, index * 16 + 16)].join('.'))
}

/** A resolver that does what a test says, packet by packet. */
async function script(play: (query: Buffer, sender: RemoteInfo, socket: Socket) => void): Promise<number> {
  const socket = createSocket('udp4')
  socket.on('message', (query, sender) => play(query, sender, socket))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  onTestFinished(() => void socket.close())
  return socket.address().port
}

/** A reply with one address, made from the query: header, question, record. */
function replyTo(query: Buffer, address: readonly number[], change: (reply: Buffer) => void = () => {}): Buffer {
  const end = query.indexOf(0, 12) + 5
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...address]
  const reply = Buffer.concat([query.subarray(0, end), Buffer.from(record)])
  reply.writeUInt16BE(0x8180, 2)
  reply.writeUInt16BE(1, 6)
  reply.writeUInt32BE(0, 8)
  change(reply)
  return reply
}

const right = [10, 43, 1, 2]
const wrong = [6, 6, 6, 6]

describe('a forwarded question', () => {
  test('comes back with the records of the zone’s resolver', async () => {
    const got = await ask('db.svc')
    expect(addresses(got)).toEqual(['10.43.1.2'])
    expect(got).toMatchObject({ resolver: `127.0.0.1:${resolver.port}` })
  })

  test('takes nothing of the agent’s message along but the question', async () => {
    const secret = Buffer.from('smuggled')
    await ask('db.svc', undefined, undefined, {
      id: 0x4242,
      flags: 0x0130,
      tail: opt(4096, 0, Buffer.concat([Buffer.from([0, 10, 0, secret.length]), secret])),
    })
    const [packet] = resolver.packets
    expect(packet?.bytes.includes(secret)).toBe(false)
    expect(packet?.bytes.subarray(2, 12)).toEqual(Buffer.from([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]))
  })

  test('goes out with a new port and a new id each time', async () => {
    for (let times = 0; times < 40; times += 1) await ask('db.svc', undefined, undefined, { id: 7 })
    const ids = new Set(resolver.packets.map(({ id }) => id))
    const ports = new Set(resolver.packets.map(({ sourcePort }) => sourcePort))
    const steps = new Set(resolver.packets.slice(1).map(({ id }, index) => id - (resolver.packets[index]?.id ?? 0)))
    expect(ids.size).toBeGreaterThan(35)
    expect(ports.size).toBeGreaterThan(30)
    expect(steps.size).toBeGreaterThan(30)
  })

  test('is asked again over TCP when the reply is truncated', async () => {
    expect(addresses(await ask('big.svc'))).toHaveLength(60)
    expect(resolver.packets.map(({ transport }) => transport)).toEqual(['udp', 'tcp'])
    expect(resolver.packets[0]?.id).not.toBe(resolver.packets[1]?.id)
  })

  test('gets the refusal, failure or absence that the last resolver gives', async () => {
    expect(await ask('gone.svc')).toMatchObject({ kind: 'answer', reply: { rcode: 3 } })
    expect(await ask('refused.svc')).toMatchObject({ kind: 'answer', reply: { rcode: 5 } })
    expect(await ask('failing.svc')).toMatchObject({ kind: 'answer', reply: { rcode: 2 } })
  })

  test('fails in words when there is no resolver', async () => {
    expect(await ask('db.svc', [])).toMatchObject({ kind: 'failed', code: 'upstream_unresolved', error: { code: 22 } })
  })
})

describe('the next resolver is asked when one', () => {
  test.each(['failing.svc', 'refused.svc'])('says %s', async (name) => {
    const second = await startResolver({ [name]: ['10.43.1.2'] })
    expect(addresses(await ask(name, [resolver.port, second.port]))).toEqual(['10.43.1.2'])
    await second[Symbol.asyncDispose]()
  })

  test('has no one listening', async () => {
    const closed = await startResolver()
    await closed[Symbol.asyncDispose]()
    expect(addresses(await ask('db.svc', [closed.port, resolver.port]))).toEqual(['10.43.1.2'])
  })

  test('sends what cannot be read', async () => {
    const broken = await script((query, sender, socket) =>
      socket.send(replyTo(query, right).subarray(0, -1), sender.port, sender.address),
    )
    expect(addresses(await ask('db.svc', [broken, resolver.port]))).toEqual(['10.43.1.2'])
  })

  test('does not answer in its two seconds', async () => {
    const second = await startResolver({ 'slow.svc': ['10.43.1.2'] })
    const [alone, helped] = await Promise.all([ask('slow.svc'), ask('slow.svc', [resolver.port, second.port])])
    expect(addresses(alone)).toEqual(['upstream_dns_timeout'])
    expect(addresses(helped)).toEqual(['10.43.1.2'])
    await second[Symbol.asyncDispose]()
  }, 8000)
})

describe('a forged reply is ignored and the right one still taken', () => {
  test.each<[string, (reply: Buffer) => void]>([
    ['with another id', (reply) => void reply.writeUInt16BE(reply.readUInt16BE(0) ^ 1, 0)],
    ['with another question', (reply) => void reply.write('x', 13)],
    ['with another type', (reply) => void reply.writeUInt16BE(28, 20)],
    ['that is a query', (reply) => void reply.writeUInt16BE(0x0100, 2)],
    ['without a question', (reply) => void reply.writeUInt16BE(0, 4)],
  ])('%s', async (_, forge) => {
    const port = await script((query, sender, socket) => {
      socket.send(replyTo(query, wrong, forge), sender.port, sender.address)
      socket.send(replyTo(query, right), sender.port, sender.address)
    })
    expect(addresses(await ask('db.svc', [port]))).toEqual(['10.43.1.2'])
  })

  test('from another source', async () => {
    const forger = createSocket('udp4')
    onTestFinished(() => void forger.close())
    const port = await script((query, sender, socket) => {
      forger.send(replyTo(query, wrong), sender.port, sender.address, () => {
        setTimeout(() => socket.send(replyTo(query, right), sender.port, sender.address), 20)
      })
    })
    expect(addresses(await ask('db.svc', [port]))).toEqual(['10.43.1.2'])
  })

  test('that comes late and twice', async () => {
    const port = await script((query, sender, socket) => {
      for (const address of [right, wrong, wrong]) socket.send(replyTo(query, address), sender.port, sender.address)
    })
    expect(addresses(await ask('db.svc', [port]))).toEqual(['10.43.1.2'])
    expect(addresses(await ask('db.svc', [port]))).toEqual(['10.43.1.2'])
  })
})

describe('bounds', () => {
  test('one agent has so many questions on their way at once, and another still has its own', async () => {
    const waiting = Array.from({ length: concurrency.agent }, () => ask('slow.svc'))
    expect(await ask('db.svc')).toMatchObject({ kind: 'failed', code: 'overloaded' })
    expect(addresses(await ask('db.svc', undefined, 'infrabot'))).toEqual(['10.43.1.2'])
    forwarder.stop()
    await Promise.all(waiting)
  })

  test('made-up names run dry: the resolver sees so many bytes of them and no more', async () => {
    const got: Forwarded[] = []
    for (let index = 0; index < 600; index += 1) got.push(await ask(`${String(index).padStart(59, 'x')}.svc`))
    const bytes = resolver.packets.reduce((sum, { name }) => sum + name.length, 0)
    expect(bytes).toBeGreaterThan(freshNameBytes.burst - 64)
    expect(bytes).toBeLessThanOrEqual(freshNameBytes.burst)
    expect(got.at(-1)).toMatchObject({ kind: 'refused', code: 'overloaded', error: { code: 15 } })
  })

  test('stopping ends what is on its way', async () => {
    const waiting = ask('slow.svc')
    forwarder.stop()
    expect(await waiting).toMatchObject({ kind: 'failed' })
  })
})
