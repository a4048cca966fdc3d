import type { Address } from '#base/address.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { compilePolicy } from '#policy/compile.ts'
import { dnsSchema } from '#policy/dns-schema.ts'
import { agentSchema, ruleSchema } from '#policy/schema.ts'
import { DnsServer } from '#dns/server.ts'
import type { DnsOptions } from '#dns/server.ts'
import { Packet } from 'dns2'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ManualClock } from '../kit/clock.ts'
import { wire } from '../kit/wire.ts'

export const numbers = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  NULL: 10,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  SVCB: 64,
  HTTPS: 65,
  AXFR: 252,
  ANY: 255,
} as const

export type TypeName = keyof typeof numbers

export interface Edits {
  readonly id?: number
  /** The second 16 bits of the header: QR, opcode, flags. */
  readonly flags?: number
  readonly counts?: readonly [number, number, number, number]
  readonly type?: number
  readonly class?: number
  /** The name as it goes over the wire. */
  readonly labels?: Buffer
  /** Bytes after the question. */
  readonly tail?: Buffer
}

/** A question as bytes, by hand: RD set, one question, IN. */
export function question(name: string, type: TypeName | number, edits: Edits = {}): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt16BE(edits.id ?? 0x1234, 0)
  header.writeUInt16BE(edits.flags ?? 0x0100, 2)
  const tail = edits.tail ?? Buffer.alloc(0)
  const counts = edits.counts ?? [1, 0, 0, tail.length > 0 ? 1 : 0]
  counts.forEach((count, index) => header.writeUInt16BE(count, 4 + 2 * index))
  const end = Buffer.alloc(4)
  end.writeUInt16BE(edits.type ?? (typeof type === 'number' ? type : numbers[type]), 0)
  end.writeUInt16BE(edits.class ?? 1, 2)
  return Buffer.concat([header, edits.labels ?? labels(name), end, tail])
}

export function labels(name: string): Buffer {
  const parts =
    name === '' ? [] : name.split('.').map((part) => Buffer.concat([Buffer.from([part.length]), Buffer.from(part, 'latin1')]))
  return Buffer.concat([...parts, Buffer.from([0])])
}

/** An OPT record with the payload size a client takes, EDNS version and raw options. */
export function opt(size = 1232, version = 0, options: Buffer = Buffer.alloc(0)): Buffer {
  const record = Buffer.alloc(11)
  record.writeUInt16BE(41, 1)
  record.writeUInt16BE(size, 3)
  record[6] = version
  record.writeUInt16BE(options.length, 9)
  return Buffer.concat([record, options])
}

/** What a client reads of a reply, by a codec that is not ours. */
export interface Read {
  readonly id: number
  readonly rcode: number
  readonly tc: boolean
  readonly aa: boolean
  /** As spelled in the reply. */
  readonly name: string
  /** `NAME TYPE TTL VALUE`. */
  readonly answers: readonly string[]
  readonly authority: readonly string[]
  readonly edns:
    | { readonly size: number; readonly error?: { readonly code: number; readonly text: string } | undefined }
    | undefined
}

export function read(bytes: Buffer | undefined): Read {
  if (!bytes) throw new Error('no reply')
  const packet = Packet.parse(bytes)
  if (packet.errors.length > 0) throw new AggregateError(packet.errors, 'the reply is malformed')
  const found = packet.additionals.find(({ type }) => type === 41)
  const [error] = (found?.rdata ?? []) as unknown as { infoCode: number; extraText: string }[]
  return {
    id: packet.header.id,
    rcode: packet.header.rcode,
    tc: packet.header.tc === 1,
    aa: packet.header.aa === 1,
    name: packet.questions[0]?.name ?? '',
    answers: packet.answers.map(show),
    authority: packet.authorities.map(show),
    edns: found && { size: found.class, error: error && { code: error.infoCode, text: error.extraText } },
  }
}

function show(record: {
  name: string
  type: number
  ttl: number
  address?: string
  domain?: string
  primary?: string
  data?: unknown
}): string {
  const type = Object.entries(numbers).find(([, number]) => number === record.type)?.[0] ?? record.type
  const data = Array.isArray(record.data)
    ? record.data.join('|')
    : Buffer.isBuffer(record.data)
      ? record.data.toString('latin1')
      : ''
  return `${record.name} ${type} ${record.ttl} ${record.address ?? record.domain ?? record.primary ?? data}`
}

/** Agents at 127.0.1.0/24 (devbot), 127.0.2.0/24 (infrabot) and 127.0.3.0/24 (newbot, report mode), with a few rules. */
export function snapshot(dns: object = {}, hash = 'a1'): Snapshot {
  const agent = (cidr: string, mode = 'enforce'): ReturnType<typeof agentSchema.parse> =>
    agentSchema.parse({ from: [{ cidr }], mode })
  const rules = [
    { id: 'no-secrets', effect: 'deny', hosts: ['vault.good.test'], reason: 'ask in #infra' },
    { id: 'good', hosts: ['good.test', '*.good.test'] },
    { id: 'pinned', hosts: ['pinned.test'], inspect: false },
    { id: 'infra', hosts: ['infra.test'], agents: ['infrabot'] },
  ]
  const policy = compilePolicy({
    agents: new Map([
      ['devbot', agent('127.0.1.0/24')],
      ['infrabot', agent('127.0.2.0/24')],
      ['newbot', agent('127.0.3.0/24', 'report')],
    ]),
    rules: rules.map((rule, index) => ({
      rule: ruleSchema.parse(rule),
      position: { file: 'test.yaml', line: index + 1, column: 1 },
    })),
    dns: dnsSchema.parse(dns),
    foreign: new Map(),
  })
  return { hash, policy, credentials: new Map() } as unknown as Snapshot
}

export interface RunningDns extends AsyncDisposable {
  readonly port: number
  readonly server: DnsServer
  readonly records: readonly AuditRecord[]
  readonly clock: ManualClock
  /** The snapshot in force; may be replaced. */
  snapshot: Snapshot | undefined
  stop(): Promise<void>
}

/** A real server on loopback; it takes agents' addresses from 127.0.1.0 on, which Linux lets clients bind to. */
export async function startDns(dns: object = {}, options: Partial<DnsOptions> = {}): Promise<RunningDns> {
  const records: AuditRecord[] = []
  const clock = new ManualClock()
  let next = 0
  let stopped: Promise<void> | undefined
  const running = { snapshot: snapshot(dns) as Snapshot | undefined }
  const server = new DnsServer({
    listen: { address: '127.0.0.1' as Address, port: 0 },
    advertise: ['10.43.0.53' as Address],
    policies: { current: () => running.snapshot },
    audit: { write: (record) => void records.push(record) },
    ids: { next: () => `id-${(next += 1)}` },
    clock,
    ...options,
  })
  const { udpPort } = await server.start()
  const stop = (): Promise<void> => (stopped ??= server.stop())
  return Object.assign(running, { port: udpPort, server, records, clock, stop, [Symbol.asyncDispose]: stop })
}

export const devbot = '127.0.1.1'
export const infrabot = '127.0.2.1'
export const newbot = '127.0.3.1'
export const stranger = '127.0.9.9'

/** Sends one datagram from an address and answers the first reply; `undefined` when none comes in time. */
export async function askUdp(port: number, from: string, message: Buffer, timeout = 2000): Promise<Buffer | undefined> {
  const socket = createSocket('udp4')
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>()
  socket.on('message', resolve)
  socket.bind(0, from, () => socket.send(message, port, '127.0.0.1'))
  const timer = setTimeout(resolve, timeout, undefined)
  const reply = await promise
  clearTimeout(timer)
  socket.close()
  return reply
}

/** A connection that speaks frames of RFC 1035 section 4.2.2. */
export function openTcp(port: number, from: string): ReturnType<typeof wire> {
  return wire(connect({ port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true }))
}

export function frame(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 0xff]), message])
}

/** The whole messages in what was read from a stream. */
export function unframe(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at + 2 <= bytes.length;) {
    const end = at + 2 + bytes.readUInt16BE(at)
    if (end > bytes.length) break
    messages.push(bytes.subarray(at + 2, end))
    at = end
  }
  return messages
}

/** Whether a condition holds before the time is over. */
export async function eventually(holds: () => boolean, timeout = 2000): Promise<boolean> {
  for (const end = Date.now() + timeout; Date.now() < end; await sleep(5)) if (holds()) return true
  return holds()
}
