/** A question that was asked before is answered from memory; nobody can tell, but for the time it takes. */
import { readQuery } from '#dns/wire.ts'
import { keptReplies } from '#dns/repeats.ts'
import { describe, expect, test } from 'vitest'
import { askUdp, devbot, infrabot, question, snapshot, startDns, stranger, type RunningDns } from './questions.ts'

/** The reply without its id. */
async function ask(dns: RunningDns, from: string, message: Buffer): Promise<string | undefined> {
  const reply = await askUdp(dns.port, from, message)
  if (!reply) return undefined
  expect(reply.readUInt16BE(0)).toBe(message.readUInt16BE(0))
  return reply.toString('hex', 2)
}

const withIdOf = (id: number, message: Buffer): Buffer => {
  const copy = Buffer.from(message)
  copy.writeUInt16BE(id, 0)
  return copy
}

describe('a question that is asked again', () => {
  test.each<[string, Buffer]>([
    ['an allowed name', question('good.test', 'A')],
    ['an allowed name without such records', question('good.test', 'AAAA')],
    ['a denied name', question('evil.test', 'A')],
    ['a record', question('matrix.test', 'A')],
    ['a name in mixed case', question('GoOd.TeSt', 'A')],
    ['an address turned into a name', question('1.0.0.10.in-addr.arpa', 'A')],
  ])('gets the same reply with its own id: %s', async (_, message) => {
    await using dns = await startDns({ records: [{ name: 'matrix.test', type: 'A', value: '10.43.7.7' }] })
    const first = await ask(dns, devbot, withIdOf(7, message))
    expect(first).toBeDefined()
    for (const id of [8, 0, 0xffff]) expect(await ask(dns, devbot, withIdOf(id, message))).toBe(first)
    await dns.stop()
    expect(dns.records.reduce((sum, { count = 0 }) => sum + count, 0)).toBe(4)
    expect(new Set(dns.records.map(({ host, verdict }) => `${host} ${verdict}`)).size).toBe(1)
  })

  test('of another case, flag or type is another one', async () => {
    await using dns = await startDns()
    const messages = [
      question('good.test', 'A'),
      question('Good.test', 'A'),
      question('good.test', 'A', { flags: 0 }),
      question('good.test', 'A', { flags: 0x0110 }),
      question('good.test', 'AAAA'),
    ]
    const replies = new Set<string | undefined>()
    for (const message of [...messages, ...messages]) replies.add(await ask(dns, devbot, message))
    expect(replies.size).toBe(messages.length)
  })

  test('gets what the agent may have that asks', async () => {
    await using dns = await startDns({ deny: 'refuse' })
    const message = question('infra.test', 'A')
    const [allowed, denied] = [await ask(dns, infrabot, message), await ask(dns, devbot, message)]
    expect(allowed).not.toBe(denied)
    const told = await ask(dns, stranger, message)
    expect([allowed, denied]).not.toContain(told)
    for (const [from, reply] of [
      [infrabot, allowed],
      [devbot, denied],
      [stranger, told],
    ] as const)
      expect(await ask(dns, from, message)).toBe(reply)
  })

  test('gets what the policy says now', async () => {
    await using dns = await startDns()
    const message = question('evil.test', 'A')
    const sunk = await ask(dns, devbot, message)
    const old = dns.snapshot
    dns.snapshot = snapshot({ deny: 'refuse' }, 'b2')
    const absent = await ask(dns, devbot, message)
    expect(absent).not.toBe(sunk)
    dns.snapshot = undefined
    expect((await askUdp(dns.port, devbot, message))?.readUInt8(3)).toBe(0x82) // SERVFAIL
    dns.snapshot = old
    expect(await ask(dns, devbot, message)).toBe(sunk)
  })

  test('is counted anew once its window has ended', async () => {
    await using dns = await startDns()
    const message = question('good.test', 'A')
    await ask(dns, devbot, message)
    const old = dns.snapshot
    dns.snapshot = snapshot({}, 'b2')
    await ask(dns, devbot, question('evil.test', 'A'))
    dns.snapshot = old
    await ask(dns, devbot, message)
    await dns.stop()
    expect(dns.records.map(({ host, policyHash, count }) => `${host} ${policyHash} ${count}`)).toEqual([
      'good.test a1 1',
      'evil.test b2 1',
      'good.test a1 1',
    ])
  })

  test('is forgotten among too many others, and answered all the same', async () => {
    await using dns = await startDns()
    const first = await ask(dns, devbot, question('good.test', 'A'))
    for (let i = 0; i <= keptReplies; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, j) => askUdp(dns.port, devbot, question(`n${i + j}.good.test`, 'A'))))
    expect(await ask(dns, devbot, question('good.test', 'A'))).toBe(first)
  })

  test('that is malformed stays so', async () => {
    await using dns = await startDns()
    const message = question('good.test', 'A', { counts: [2, 0, 0, 0] })
    expect(readQuery(message).kind).toBe('unfit')
    const first = await ask(dns, devbot, message)
    expect(await ask(dns, devbot, message)).toBe(first)
    expect(first?.slice(0, 4)).toMatch(/^8[0-9a-f]81$/)
  })
})
