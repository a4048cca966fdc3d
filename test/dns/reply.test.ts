import type { Host } from '#base/host.ts'
import { writeReply } from '#dns/reply.ts'
import type { DnsResource } from '#dns/reply.ts'
import { readQuery } from '#dns/wire.ts'
import type { Query } from '#dns/wire.ts'
import { describe, expect, test } from 'vitest'
import { opt, question, read } from './questions.ts'

function asked(bytes: Buffer): Query {
  const reading = readQuery(bytes)
  if (reading.kind !== 'query') throw new Error(reading.kind)
  return reading
}

const plain = asked(question('Api.GOOD.test', 'A', { id: 7 }))
const withEdns = asked(question('Api.GOOD.test', 'A', { id: 7, tail: opt() }))

describe('a reply', () => {
  test.each<[DnsResource, string]>([
    [{ kind: 'A', address: '10.43.0.53' }, 'Api.GOOD.test A 30 10.43.0.53'],
    [{ kind: 'AAAA', address: 'fd00::53' }, 'Api.GOOD.test AAAA 30 fd00::53'],
    [{ kind: 'CNAME', target: 'other.test' as Host }, 'Api.GOOD.test CNAME 30 other.test'],
    [{ kind: 'A', owner: 'other.test' as Host, address: '10.0.0.1' }, 'other.test A 30 10.0.0.1'],
    [{ kind: 'TXT', text: 'v=spf1 -all' }, 'Api.GOOD.test TXT 30 v=spf1 -all'],
    [{ kind: 'TXT', text: 'x'.repeat(255) }, `Api.GOOD.test TXT 30 ${'x'.repeat(255)}`],
    [{ kind: 'HINFO' }, 'Api.GOOD.test HINFO 30 \x07RFC8482\x00'],
    [{ kind: 'SOA' }, 'Api.GOOD.test SOA 30 localhost'],
  ])('carries the record %o', (record, shown) => {
    const bytes = writeReply(plain, { rcode: 'NOERROR', answers: [record], authority: [record] }, 1232)
    expect(read(bytes)).toMatchObject({
      id: 7,
      rcode: 0,
      aa: true,
      tc: false,
      name: 'Api.GOOD.test',
      answers: [shown],
      authority: [shown],
    })
    expect(read(writeReply(plain, { rcode: 'NOERROR', answers: [record], authority: [] }, 1232)).answers).toEqual([shown])
  })

  test('spells the name as it was asked, byte for byte', () => {
    const bytes = writeReply(plain, { rcode: 'NOERROR', answers: [], authority: [] }, 512)
    expect(bytes.subarray(12)).toEqual(plain.question)
  })

  test('has OPT only for a client that sent it, with our own size', () => {
    const reply = { rcode: 'REFUSED', answers: [], authority: [], error: { code: 15, text: 'no rule' } } as const
    expect(read(writeReply(plain, reply, 512)).edns).toBeUndefined()
    expect(read(writeReply(withEdns, reply, 512)).edns).toEqual({ size: 1232, error: { code: 15, text: 'no rule' } })
  })

  test('gives BADVERS its upper bits in OPT', () => {
    expect(read(writeReply(withEdns, { rcode: 'BADVERS', answers: [], authority: [] }, 512)).rcode).toBe(16)
  })

  test('that is too long loses all its records, keeps OPT, and says so with TC', () => {
    const answers = Array.from({ length: 40 }, (_, index): DnsResource => ({ kind: 'A', address: `10.0.0.${index}` }))
    const bytes = writeReply(withEdns, { rcode: 'NOERROR', answers, authority: [] }, 512)
    expect(bytes.length).toBeLessThanOrEqual(512)
    expect(read(bytes)).toMatchObject({ tc: true, answers: [], edns: { size: 1232 } })
    expect(read(writeReply(withEdns, { rcode: 'NOERROR', answers, authority: [] }, 65535)).answers).toHaveLength(40)
  })

  test('with a long reason still fits the smallest size, and the reason stays whole characters', () => {
    const long = asked(question(['a', 'b', 'c'].map((letter) => letter.repeat(63)).join('.'), 'A', { tail: opt(512) }))
    const text = 'é'.repeat(500)
    const bytes = writeReply(long, { rcode: 'REFUSED', answers: [], authority: [], error: { code: 15, text } }, 512)
    expect(bytes.length).toBeLessThanOrEqual(512)
    expect(read(bytes).edns?.error?.text).toBe('é'.repeat(60))
  })
})
