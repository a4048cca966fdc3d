/**
 * Writes replies. Header and question are ours, the question being the client's own bytes; every record behind them is
 * encoded by dns2, once, and remembered: dns2 3.1 writes bit by bit (7 to 11 µs a message, more than all else we do).
 * Records are encoded without compression but for their owner, so that their bytes fit behind any question. Pure.
 */
import { Packet } from 'dns2'
import type { Resource as Dns2Resource } from 'dns2'
import { LruMap } from '#base/async.ts'
import type { Host } from '#base/host.ts'
import { classIn, rcodeNumber, types } from './codes.ts'
import type { Rcode } from './codes.ts'
import { headerSize, largestSize } from './wire.ts'
import type { DnsQuestion } from './wire.ts'

/** A record of ours. `owner` absent: the name that was asked. */
export type DnsResource =
  | { readonly kind: 'A' | 'AAAA'; readonly owner?: Host | undefined; readonly address: string }
  | { readonly kind: 'CNAME'; readonly owner?: Host | undefined; readonly target: Host }
  | { readonly kind: 'TXT'; readonly owner?: Host | undefined; readonly text: string }
  | { readonly kind: 'SOA' }
  | { readonly kind: 'HINFO' }

/** An Extended DNS Error (RFC 8914): a code and a few words for people. */
export interface ExtendedError {
  readonly code: number
  readonly text: string
}

export interface DnsReply {
  readonly rcode: Rcode
  readonly answers: readonly DnsResource[]
  readonly authority: readonly DnsResource[]
  readonly error?: ExtendedError | undefined
}

/** Seconds a client may keep what we say; short, so that an edit of the policy is soon seen. */
export const ttl = 30

/** Encodes a reply of at most `limit` bytes; what is longer loses its records and gains TC (RFC 2181 section 9). */
export function writeReply(asked: DnsQuestion, reply: DnsReply, limit: number): Buffer {
  const opt = writeOpt(asked, reply)
  const parts = [...reply.answers, ...reply.authority].map(encodeResource)
  const records = parts.reduce((sum, part) => sum + part.length, 0)
  const fits = headerSize + asked.question.length + records + opt.length <= limit
  const isOurs = reply.rcode === 'NOERROR' || reply.rcode === 'NXDOMAIN'
  return assemble(asked, {
    rcode: rcodeNumber(reply.rcode),
    authoritative: isOurs,
    truncated: !fits,
    answers: fits ? reply.answers.length : 0,
    authority: fits ? reply.authority.length : 0,
    records: fits ? parts : [],
    opt,
  })
}

export interface Parts {
  readonly rcode: number
  readonly authoritative: boolean
  readonly truncated: boolean
  readonly answers: number
  readonly authority: number
  readonly records: readonly Buffer[]
  readonly opt: Buffer
}

/** Puts a message together: the header, the client's own question, records, and OPT where the client spoke EDNS. */
export function assemble(asked: DnsQuestion, parts: Parts): Buffer {
  const header = Buffer.allocUnsafe(headerSize)
  const { question, opcode } = asked
  header.writeUInt16BE(asked.id, 0)
  // RA is always set: without it some resolvers take a refusal for a lame server and retry.
  header[2] = 0x80 | (opcode << 3) | (parts.authoritative ? 4 : 0) | (parts.truncated ? 2 : 0) | (asked.recursionDesired ? 1 : 0)
  header[3] = 0x80 | (asked.checkingDisabled ? 0x10 : 0) | (parts.rcode & 0xf)
  header.writeUInt16BE(question.length > 0 ? 1 : 0, 4)
  header.writeUInt16BE(parts.answers, 6)
  header.writeUInt16BE(parts.authority, 8)
  header.writeUInt16BE(parts.opt.length > 0 ? 1 : 0, 10)
  return Buffer.concat([header, question, ...parts.records, parts.opt])
}

/** The OPT record of a reply: none unless the client sent one (RFC 6891 section 6.1.1). */
export function writeOpt(asked: DnsQuestion, reply: Pick<DnsReply, 'rcode' | 'error'>): Buffer {
  if (asked.ednsSize === undefined) return nothing
  const { rcode, error } = reply
  const key = error ? `${rcode} ${error.code} ${error.text}` : rcode
  let bytes = opts.get(key)
  if (!bytes) {
    const options = error ? [Packet.Resource.EDNS.EDE(error.code, shorten(error.text))] : []
    const extendedRcode = rcodeNumber(rcode) >> 4
    const opt = Packet.Resource.EDNS(options, { udpPayloadSize: largestSize, extendedRcode })
    opts.set(key, (bytes = Packet.Resource.encode(opt)))
  }
  return bytes
}

// Keys come from the error table and from the reasons of rules; the bound is for policies that change often.
const opts = new LruMap<string, Buffer>(256)

/** RFC 8914 section 3 asks for short text; a reply of ours with it always fits into 512 bytes. */
function shorten(text: string): string {
  const bytes = Buffer.from(text)
  return bytes.length <= 120 ? text : bytes.toString('utf8', 0, 120).replace(/\uFFFD$/, '')
}

const encoded = new WeakMap<DnsResource, Buffer>()

/** The bytes of one record. Throws what dns2 throws on a value that does not fit its type. */
function encodeResource(resource: DnsResource): Buffer {
  let bytes = encoded.get(resource)
  if (!bytes) {
    const owner = 'owner' in resource ? resource.owner : undefined
    const whole = Packet.Resource.encode(new Packet.Resource({ name: owner ?? '', class: classIn, ttl, ...body(resource) }))
    // The root's one zero byte gives way to a pointer to the question (RFC 1035 section 4.1.4).
    bytes = owner === undefined ? Buffer.concat([pointerToQuestion, whole.subarray(1)]) : whole
    encoded.set(resource, bytes)
  }
  return bytes
}

const pointerToQuestion = Buffer.from([0xc0, headerSize])

function body(resource: DnsResource): Partial<Dns2Resource> {
  switch (resource.kind) {
    case 'A':
    case 'AAAA':
      return { type: types[resource.kind], address: resource.address }
    case 'CNAME':
      return { type: types.CNAME, domain: resource.target }
    case 'TXT':
      // One string: the schema holds it to 255 bytes, where dns2 3.1 would let the length byte wrap.
      return { type: types.TXT, data: [resource.text] }
    case 'SOA':
      // Says how long "no such record" may be kept (RFC 2308 section 5): the smaller of its TTL and `minimum`.
      return {
        type: types.SOA,
        primary: 'localhost',
        admin: 'nobody.invalid',
        serial: 1,
        refresh: 3600,
        retry: 600,
        expiration: 86400,
        minimum: ttl,
      }
    case 'HINFO':
      // The answer to ANY (RFC 8482 section 4.2). dns2 has no codec for HINFO and writes the bytes as they are.
      return { type: types.HINFO, data: Buffer.from('\x07RFC8482\x00', 'latin1') }
    default:
      return resource satisfies never
  }
}

const nothing = Buffer.alloc(0)
