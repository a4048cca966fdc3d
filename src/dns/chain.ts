/**
 * Which records of a resolver's reply belong to the question: those of its name, and of the names that its CNAMEs lead to.
 * A resolver is asked for its zone alone, so whatever else it says of other names does not reach an agent or its cache. Pure.
 */
import { types } from './codes.ts'

/** A record that was read and found sound; places are offsets into the message. */
export interface ChainResult {
  readonly section: 'answer' | 'authority'
  readonly start: number
  /** Behind the owner: type, class, lifetime, length. */
  readonly fixed: number
  readonly end: number
  readonly type: number
}

/** What stands in the data of a type: bytes, then names, then bytes. Types that are not here have no names. */
const named = new Map<number, { readonly before: number; readonly names: number }>([
  [types.NS, { before: 0, names: 1 }],
  [types.CNAME, { before: 0, names: 1 }],
  [types.PTR, { before: 0, names: 1 }],
  [types.DNAME, { before: 0, names: 1 }],
  [types.MX, { before: 2, names: 1 }],
  [types.SRV, { before: 6, names: 1 }],
  [types.SOA, { before: 0, names: 2 }],
])

/** The records that may pass, in their order. */
export function belonging(message: Buffer, question: number, records: readonly ChainResult[]): readonly ChainResult[] {
  const owners = records.map(({ start }) => nameAt(message, start))
  const chain = chainOf(message, nameAt(message, question), records, owners)
  return records.filter(({ section, type }, index) => {
    const owner = owners[index] ?? ''
    if (section === 'answer' && type !== types.DNAME) return chain.includes(owner)
    // A DNAME stands above the name it changes (RFC 6672), and so does the zone that says what is not there.
    return chain.some((name) => name === owner || isBelow(name, owner))
  })
}

function chainOf(message: Buffer, first: string, records: readonly ChainResult[], owners: readonly string[]): readonly string[] {
  const targets = new Map<string, string>()
  for (const [index, { section, type, fixed }] of records.entries()) {
    const owner = owners[index] ?? ''
    // One name has one CNAME (RFC 2181 section 10.1); of several the first is followed.
    if (section === 'answer' && type === types.CNAME && !targets.has(owner)) targets.set(owner, nameAt(message, fixed + 10))
  }
  const chain: string[] = []
  for (let name: string | undefined = first; name !== undefined && !chain.includes(name); name = targets.get(name))
    chain.push(name)
  return chain
}

function isBelow(name: string, zone: string): boolean {
  return zone === '' || name.endsWith(`.${zone}`)
}

/** The bytes of these records with every name written out, so that they hold without what stood around them. */
export function writtenOut(message: Buffer, records: readonly ChainResult[]): Buffer {
  return Buffer.concat(records.flatMap((record) => writeOut(message, record)))
}

function writeOut(message: Buffer, { start, fixed, end, type }: ChainResult): readonly Buffer[] {
  const { before, names } = named.get(type) ?? { before: 0, names: 0 }
  const head = Buffer.from(message.subarray(fixed, fixed + 10))
  let at = fixed + 10 + before
  const data = [message.subarray(fixed + 10, at)]
  for (let count = 0; count < names; count += 1) {
    data.push(labelsAt(message, at))
    at = endOf(message, at)
  }
  data.push(message.subarray(at, end))
  head.writeUInt16BE(
    data.reduce((sum, part) => sum + part.length, 0),
    8,
  )
  return [labelsAt(message, start), head, ...data]
}

/** In lower case, dots between its labels; the root is empty. The name was read before, so its pointers end. */
function nameAt(message: Buffer, start: number): string {
  const labels: string[] = []
  for (const [at, length] of labelsFrom(message, start)) labels.push(message.toString('latin1', at, at + length))
  return labels.join('.').toLowerCase()
}

/** As it goes over the wire, without pointers. */
function labelsAt(message: Buffer, start: number): Buffer {
  const labels = [...labelsFrom(message, start)].map(([at, length]) => message.subarray(at - 1, at + length))
  return Buffer.concat([...labels, Buffer.of(0)])
}

/** Where each label begins behind its length, and that length. */
function* labelsFrom(message: Buffer, start: number): Generator<readonly [number, number]> {
  for (let at = start, length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    if (length >= 0xc0) {
      at = message.readUInt16BE(at) & 0x3fff
      continue
    }
    yield [at + 1, length]
    at += 1 + length
  }
}

/** Where the bytes of a name end in place. */
function endOf(message: Buffer, start: number): number {
  let at = start
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    if (length >= 0xc0) return at + 2
    at += 1 + length
  }
  return at + 1
}
