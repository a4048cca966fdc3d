/** Bytes nobody meant: nothing throws, nothing swells, and what is read is read in one way only. */
import type { Address } from '#base/address.ts'
import { readReply } from '#dns/relay.ts'
import { Responder } from '#dns/responder.ts'
import { readQuery } from '#dns/wire.ts'
import { Packet } from 'dns2'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ManualClock } from '../kit/clock.ts'
import { devbot, labels, opt, question, snapshot, stranger } from '../dns/questions.ts'

const settings = { seed: 1035, numRuns: 20_000 }

const seeds = [
  question('api.good.test', 'A', { tail: opt() }),
  question('evil.test', 'TXT'),
  question('good.test', 'ANY', { tail: opt(65535, 0, Buffer.from([0, 3, 0, 0, 0, 10, 0, 2, 1, 2])) }),
  question('', 'NS'),
  question(['a', 'b', 'c'].map((letter) => letter.repeat(63)).join('.'), 'AAAA', { tail: opt(512) }),
]

/** A well-formed message with a few bytes changed, cut or repeated. */
const mutated = (from: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom(...from),
      fc.array(fc.tuple(fc.nat(400), fc.oneof(fc.constantFrom(0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff), fc.nat(255))), {
        maxLength: 4,
      }),
      // Whole and alone more often than not: what is cut or has a tail is refused at once, and teaches little.
      fc.option(fc.nat(400), { freq: 1, nil: undefined }),
      fc.option(fc.uint8Array({ maxLength: 40 }), { freq: 1, nil: undefined }),
    )
    .map(([seed, changes, cut, more]) => {
      const bytes = Buffer.from(seed)
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      return Buffer.concat([bytes.subarray(0, cut ?? bytes.length), more ?? Buffer.alloc(0)])
    })

const anything = fc.oneof(
  mutated(seeds),
  fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
)

describe('a question of mutated bytes', () => {
  test('is read without a throw, and if read, holds what another codec reads too', () => {
    let read = 0
    fc.assert(
      fc.property(anything, (bytes) => {
        const reading = readQuery(bytes)
        if (reading.kind !== 'query') return
        read += 1
        const packet = Packet.parse(bytes)
        // What is inside an option is not ours to judge: none is acted on.
        expect(packet.errors.filter(({ section }) => section !== 'additionals')).toEqual([])
        expect(packet.questions).toEqual([{ name: reading.name, type: reading.type, class: 1 }])
        expect(reading.question).toEqual(
          Buffer.concat([labels(reading.name), Buffer.from([reading.type >> 8, reading.type & 0xff, 0, 1])]),
        )
        expect(reading.name).toMatch(/^[!-~]*$/)
      }),
      settings,
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('gets silence or one well-formed reply of bounded size, and is counted once', () => {
    let counted = 0
    const current = snapshot()
    const responder = new Responder({
      advertise: ['10.43.0.53' as Address],
      policies: { current: () => current },
      audit: { write: ({ count = 0 }) => void (counted += count) },
      ids: { next: () => 'id' },
      clock: new ManualClock(),
    })
    let sent = 0
    fc.assert(
      fc.property(anything, fc.constantFrom(devbot, stranger), (bytes, source) => {
        sent += 1
        const reply = responder.respond(bytes, source, 'udp')
        if (reply instanceof Promise) throw new Error('nothing is forwarded here')
        if (!reply) return
        const packet = Packet.parse(reply)
        expect(packet.errors).toEqual([])
        expect(packet.header).toMatchObject({ qr: 1, id: bytes.readUInt16BE(0) })
        expect(reply.length).toBeLessThanOrEqual(1232)
      }),
      settings,
    )
    return responder.stop().then(() => expect(counted).toBe(sent))
  })
})

test('a resolver’s reply of mutated bytes is read without a throw, and what passes is sound to another codec', () => {
  const asked = question('db.svc', 'A').subarray(12)
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 43, 1, 2])
  const alias = Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 5, 0, 4, 1, 0x78, 0xc0, 15])
  const header = (answers: number): Buffer => Buffer.from([0, 9, 0x85, 0x80, 0, 1, 0, answers, 0, 0, 0, 0])
  const replies = [
    Buffer.concat([header(1), asked, record]),
    Buffer.concat([header(2), asked, record, record]),
    Buffer.concat([header(1), asked, alias]),
    Buffer.concat([header(2), asked, alias, record]),
  ]
  let passed = 0
  fc.assert(
    fc.property(mutated(replies), (bytes) => {
      const reading = readReply(bytes, 9, asked)
      if (reading.kind !== 'answer') return
      passed += 1
      const whole = Buffer.concat([header(0), asked, reading.records])
      whole.writeUInt16BE(reading.answers, 6)
      whole.writeUInt16BE(reading.authority, 8)
      const packet = Packet.parse(whole)
      expect(packet.errors).toEqual([])
      expect([packet.answers.length, packet.authorities.length]).toEqual([reading.answers, reading.authority])
    }),
    settings,
  )
  expect(passed).toBeGreaterThan(1000)
})
