import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { closer, listen, type Started } from './listen.ts'

/** Answers of one name: addresses of both families, a fault, or bytes made by hand from the query. */
export type ResolverAnswer =
  | readonly string[]
  | { readonly cname: string }
  | { readonly rcode: number }
  | 'silence'
  /** Cut short over UDP, whole over TCP. */
  | { readonly truncated: readonly string[] }
  | ((query: Buffer) => Buffer)

export interface SeenPacket {
  readonly transport: 'udp' | 'tcp'
  readonly id: number
  readonly sourcePort: number
  /** As it was spelled. */
  readonly name: string
  readonly type: number
  readonly bytes: Buffer
}

export interface Resolver extends Started {
  readonly packets: readonly SeenPacket[]
  /** By lower-case name; may be changed while it runs. A name that is not in it does not exist. */
  readonly answers: Map<string, ResolverAnswer>
}

const typeA = 1
const typeCname = 5
const typeAaaa = 28
const nxdomain = 3
const ttl = 60

/** Starts a DNS resolver on UDP and TCP of one loopback port that records each packet. Written on bytes, not on the product's codec. */
export async function startResolver(answers: Readonly<Record<string, ResolverAnswer>> = {}): Promise<Resolver> {
  const table = new Map(Object.entries(answers))
  const packets: SeenPacket[] = []

  function respond(transport: SeenPacket['transport'], bytes: Buffer, sourcePort: number): Buffer | undefined {
    const question = readQuestion(bytes)
    packets.push({ transport, id: bytes.readUInt16BE(0), sourcePort, name: question.name, type: question.type, bytes })
    const answer = table.get(question.name.toLowerCase()) ?? { rcode: nxdomain }
    if (answer === 'silence') return undefined
    if (typeof answer === 'function') return answer(bytes)
    return writeReply(bytes, question, answer, transport)
  }

  const udp = createSocket('udp4')
  const tcp = createServer((socket) => serveTcp(socket, (bytes) => respond('tcp', bytes, socket.remotePort ?? 0)))
  const closeTcp = closer(tcp)
  udp.on('message', (bytes, { port, address }) => {
    if (bytes.length < 12) return
    const reply = respond('udp', bytes, port)
    if (reply) udp.send(reply, port, address)
  })
  const port = await listen(tcp)
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
  return {
    port,
    packets,
    answers: table,
    [Symbol.asyncDispose]: async () => {
      udp.close()
      await closeTcp()
    },
  }
}

/** Messages over TCP carry their length in front (RFC 1035 section 4.2.2) and may be pipelined. */
function serveTcp(socket: Socket, respond: (bytes: Buffer) => Buffer | undefined): void {
  let pending = Buffer.alloc(0)
  socket.on('data', (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes])
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const end = 2 + pending.readUInt16BE(0)
      const reply = end >= 14 ? respond(pending.subarray(2, end)) : undefined
      pending = pending.subarray(end)
      if (reply) socket.write(Buffer.concat([uint16(reply.length), reply]))
    }
  })
}

interface Question {
  readonly name: string
  readonly type: number
  /** Where the question section ends. */
  readonly end: number
}

function readQuestion(bytes: Buffer): Question {
  const labels: string[] = []
  let at = 12
  for (let length = bytes[at] ?? 0; length > 0; length = bytes[at] ?? 0) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), type: bytes.length >= at + 3 ? bytes.readUInt16BE(at + 1) : 0, end: at + 5 }
}

function writeReply(
  query: Buffer,
  question: Question,
  answer: Exclude<ResolverAnswer, 'silence' | ((query: Buffer) => Buffer)>,
  transport: SeenPacket['transport'],
): Buffer {
  const cut = 'truncated' in answer && transport === 'udp'
  const rcode = 'rcode' in answer ? answer.rcode : 0
  const records = cut ? [] : recordsOf(answer, question.type)
  const reply = Buffer.concat([query.subarray(0, question.end), ...records])
  reply.writeUInt16BE(0x8180 | (cut ? 0x0200 : 0) | rcode, 2) // QR, RD, RA, and TC
  reply.writeUInt16BE(1, 4)
  reply.writeUInt16BE(records.length, 6)
  reply.writeUInt32BE(0, 8)
  return reply
}

function recordsOf(answer: Exclude<ResolverAnswer, string | ((query: Buffer) => Buffer)>, type: number): readonly Buffer[] {
  if ('rcode' in answer) return []
  if ('cname' in answer) return [record(typeCname, encodeName(answer.cname))]
  const addresses = 'truncated' in answer ? answer.truncated : answer
  const wanted = addresses.filter((address) => type === (address.includes(':') ? typeAaaa : typeA))
  return wanted.map((address) => record(type, encodeAddress(address)))
}

/** A record of the name that was asked for, by a pointer to the question (RFC 1035 section 4.1.4). */
function record(type: number, data: Buffer): Buffer {
  const ttlBytes = Buffer.alloc(4)
  ttlBytes.writeUInt32BE(ttl)
  return Buffer.concat([Buffer.from([0xc0, 12]), uint16(type), uint16(1), ttlBytes, uint16(data.length), data])
}

function encodeAddress(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [left = '', right = ''] = address.split('::')
  const groups = (text: string): string[] => (text ? text.split(':') : [])
  const zeros = Array<string>(8 - groups(left).length - groups(right).length).fill('0')
  return Buffer.concat([...groups(left), ...zeros, ...groups(right)].map((group) => uint16(parseInt(group, 16))))
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label, 'latin1')]))
  return Buffer.concat([...labels, Buffer.from([0])])
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
