import type { Address } from '#base/address.ts'
import { strangers } from '#dns/responder.ts'
import { connections } from '#dns/server.ts'
import { idleTimeout, longestMessage } from '#dns/stream.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { Resolver as NodeResolver } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { listen } from '../kit/listen.ts'
import { startResolver } from '../kit/resolver.ts'
import { atLeast } from '../kit/wire.ts'
import {
  askUdp,
  devbot,
  eventually,
  frame,
  newbot,
  openTcp,
  opt,
  question,
  read,
  snapshot,
  startDns,
  stranger,
  unframe,
} from './questions.ts'

afterEach(() => vi.useRealTimers())

const sum = (records: readonly AuditRecord[]): number => records.reduce((total, { count = 0 }) => total + count, 0)

describe('over UDP', () => {
  test('an allowed name is our address, in the case it was asked, and one record says so', async () => {
    await using dns = await startDns()
    const reply = read(await askUdp(dns.port, devbot, question('API.good.test', 'A', { id: 77, tail: opt() })))
    expect(reply).toEqual({
      id: 77,
      rcode: 0,
      aa: true,
      tc: false,
      name: 'API.good.test',
      answers: ['API.good.test A 30 10.43.0.53'],
      authority: [],
      edns: { size: 1232, error: undefined },
    })
    expect(dns.records).toHaveLength(1)
    expect(dns.records[0]).toMatchObject({
      type: 'dns',
      event: 'exchange',
      door: 'dns',
      agent: 'devbot',
      peer: devbot,
      host: 'api.good.test',
      rule: 'good',
      verdict: 'allow',
      policyHash: 'a1',
      dns: { qtype: 'A', rcode: 'NOERROR', outcome: 'intercept', proto: 'udp' },
      count: 1,
    })
  })

  test('every question is counted once, whatever became of it', async () => {
    await using dns = await startDns()
    const messages = [
      question('good.test', 'A'),
      question('GOOD.test', 'A'),
      question('good.test', 'AAAA'),
      question('evil.test', 'A'),
      question('evil.test', 'TXT'),
      question('good.test', 'A', { flags: 0x2800 }),
      question('good.test', 'A', { counts: [2, 0, 0, 0] }),
      question('good.test', 'A', { class: 3 }),
    ]
    for (const message of messages) expect(await askUdp(dns.port, devbot, message)).toBeDefined()
    await dns.stop()
    expect(sum(dns.records)).toBe(messages.length)
    expect(
      dns.records.map(({ host, verdict, dns: of }) => `${host ?? '-'} ${of?.qtype} ${of?.outcome} ${of?.rcode} ${verdict}`),
    ).toEqual([
      'good.test A intercept NOERROR allow',
      'good.test AAAA nodata NOERROR allow',
      'evil.test A blocked NOERROR deny',
      'evil.test TXT blocked NOERROR deny',
      '- other malformed NOTIMP deny',
      '- other malformed FORMERR deny',
      '- other malformed REFUSED deny',
      'good.test A intercept NOERROR allow',
    ])
  })

  test('a forwarded name has the records of its zone, under the id and the spelling that were asked', async () => {
    await using resolver = await startResolver({ 'db.svc': ['10.43.1.2'] })
    await using dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${resolver.port}`] }] })
    const reply = read(await askUdp(dns.port, devbot, question('DB.svc', 'A', { id: 99, tail: opt() })))
    expect(reply).toMatchObject({ id: 99, name: 'DB.svc', answers: ['DB.svc A 60 10.43.1.2'], edns: { size: 1232 } })
    expect(dns.records[0]).toMatchObject({
      host: 'db.svc',
      verdict: 'allow',
      upstream: `127.0.0.1:${resolver.port}`,
      dns: { outcome: 'forward', rcode: 'NOERROR' },
    })
  })

  test('a forwarded answer longer than the client takes is truncated, and whole over TCP', async () => {
    const many = Array.from({ length: 60 }, (_, index) => `10.43.2.${index}`)
    await using resolver = await startResolver({ 'big.svc': { truncated: many } })
    await using dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${resolver.port}`] }] })
    expect(read(await askUdp(dns.port, devbot, question('big.svc', 'A')))).toMatchObject({ tc: true, answers: [] })
    expect(read(await askUdp(dns.port, devbot, question('big.svc', 'A', { tail: opt(1000) })))).toMatchObject({ tc: false })
    const tcp = openTcp(dns.port, devbot)
    tcp.write(frame(question('big.svc', 'A')))
    const { bytes } = await tcp.read((received) => unframe(received).length === 1)
    expect(read(unframe(bytes)[0]).answers).toHaveLength(60)
    tcp.socket.destroy()
  })

  test('a zone whose resolver is gone is SERVFAIL with the reason, and an error in the audit', async () => {
    const gone = await startResolver()
    await gone[Symbol.asyncDispose]()
    await using dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${gone.port}`] }] })
    expect(read(await askUdp(dns.port, devbot, question('db.svc', 'A', { tail: opt() })))).toMatchObject({
      rcode: 2,
      edns: { error: { code: 22 } },
    })
    expect(dns.records[0]).toMatchObject({
      verdict: 'error',
      code: 'upstream_unresolved',
      dns: { outcome: 'forward', rcode: 'SERVFAIL' },
    })
  })

  test('an agent in report mode is let through, and audited as would_deny', async () => {
    await using dns = await startDns()
    expect(read(await askUdp(dns.port, newbot, question('evil.test', 'A'))).answers).toEqual(['evil.test A 30 10.43.0.53'])
    expect(dns.records[0]).toMatchObject({ agent: 'newbot', verdict: 'would_deny', code: 'host_denied' })
  })

  test('a record that cannot be written is SERVFAIL, and the server goes on', async () => {
    await using dns = await startDns({}, { advertise: ['not-an-address' as Address] })
    expect(read(await askUdp(dns.port, devbot, question('good.test', 'A'))).rcode).toBe(2)
    expect(read(await askUdp(dns.port, devbot, question('good.test', 'TXT'))).rcode).toBe(0)
    expect(dns.records[0]).toMatchObject({ verdict: 'error', code: 'internal' })
  })

  test('Node’s own resolver reads our answers', async () => {
    await using dns = await startDns({ records: [{ name: 'note.test', type: 'TXT', value: 'x'.repeat(255) }] })
    const resolver = new NodeResolver({ timeout: 1000, tries: 1 })
    resolver.setLocalAddress(devbot)
    resolver.setServers([`127.0.0.1:${dns.port}`])
    expect(await resolver.resolve4('api.good.test')).toEqual(['10.43.0.53'])
    expect((await resolver.resolveTxt('note.test')).flat().join('')).toBe('x'.repeat(255))
    await expect(resolver.resolve6('api.good.test')).rejects.toMatchObject({ code: 'ENODATA' })
    await expect(resolver.resolveTxt('evil.test')).rejects.toMatchObject({ code: 'ENODATA' })
  })

  test('a client over IPv6 is heard too, and known by its address', async () => {
    await using dns = await startDns({}, { listen: { address: '::1' as Address, port: 0 }, advertise: ['fd00::53' as Address] })
    const resolver = new NodeResolver({ timeout: 1000, tries: 1 })
    resolver.setServers([`[::1]:${dns.port}`])
    await expect(resolver.resolve6('good.test')).rejects.toMatchObject({ code: 'EREFUSED' })
    expect(dns.records[0]).toMatchObject({ agent: null, peer: '::1', code: 'agent_unknown' })
  })
})

describe('addresses that are no agent’s', () => {
  test('are refused with a reason, so often and then no more; agents do not feel it', async () => {
    await using dns = await startDns()
    const message = question('good.test', 'A', { tail: opt() })
    const first = read(await askUdp(dns.port, stranger, message))
    expect(first).toMatchObject({
      rcode: 5,
      answers: [],
      authority: [],
      edns: { error: { code: 15, text: 'no agent of the policy has this address' } },
    })
    const tcp = openTcp(dns.port, stranger)
    tcp.write(Buffer.concat(Array.from({ length: 2 * strangers.burst }, () => frame(message))))
    const { bytes } = await tcp.read((received) => unframe(received).length > strangers.burst, 200)
    expect(unframe(bytes)).toHaveLength(strangers.burst - 1)
    tcp.socket.destroy()
    expect(await askUdp(dns.port, stranger, message, 100)).toBeUndefined()
    expect(read(await askUdp(dns.port, devbot, message)).rcode).toBe(0)
    await dns.stop()
    expect(sum(dns.records)).toBe(2 * strangers.burst + 3)
  })

  test('nothing is answered to anyone while there is no policy', async () => {
    await using dns = await startDns()
    dns.snapshot = undefined
    expect(read(await askUdp(dns.port, devbot, question('good.test', 'A', { tail: opt() })))).toMatchObject({
      rcode: 2,
      answers: [],
      edns: { error: { code: 14 } },
    })
    expect(dns.records[0]).toMatchObject({ verdict: 'deny', code: 'no_policy' })
  })
})

describe('over TCP', () => {
  test('many questions on one connection are all answered, split anywhere', async () => {
    await using dns = await startDns()
    const tcp = openTcp(dns.port, devbot)
    const names = Array.from({ length: 300 }, (_, index) => `n${index}.good.test`)
    const stream = Buffer.concat(names.map((name, index) => frame(question(name, 'A', { id: index }))))
    for (let at = 0; at < stream.length; at += 997) tcp.write(stream.subarray(at, at + 997))
    const { bytes } = await tcp.read((received) => unframe(received).length === names.length)
    expect(unframe(bytes).map((message) => read(message).answers[0])).toEqual(names.map((name) => `${name} A 30 10.43.0.53`))
    tcp.socket.destroy()
  })

  test('a quick answer does not wait for a slow one', async () => {
    await using resolver = await startResolver({ 'slow.svc': 'silence' })
    await using dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${resolver.port}`] }] })
    const tcp = openTcp(dns.port, devbot)
    tcp.write(Buffer.concat([frame(question('slow.svc', 'A', { id: 1 })), frame(question('good.test', 'A', { id: 2 }))]))
    const { bytes } = await tcp.read((received) => unframe(received).length === 1)
    expect(read(unframe(bytes)[0]).id).toBe(2)
    tcp.socket.destroy()
  })

  test('a client that ends its side first still gets what it asked', async () => {
    await using resolver = await startResolver({ 'db.svc': ['10.43.1.2'] })
    await using dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${resolver.port}`] }] })
    const tcp = openTcp(dns.port, devbot)
    tcp.socket.end(Buffer.concat([frame(question('db.svc', 'A')), frame(question('good.test', 'A'))]))
    const { bytes, ending } = await tcp.read()
    expect(unframe(bytes)).toHaveLength(2)
    expect(ending).toBe('closed')
    tcp.socket.destroy()
  })

  test.each([
    ['0', Buffer.from([0, 0])],
    ['11', Buffer.from([0, 11])],
    ['one over the longest', Buffer.from([(longestMessage + 1) >> 8, (longestMessage + 1) & 0xff])],
    ['65535', Buffer.from([0xff, 0xff])],
  ])('a length of %s closes the connection at once and is counted', async (_, bytes) => {
    await using dns = await startDns()
    const tcp = openTcp(dns.port, devbot)
    tcp.write(bytes)
    expect((await tcp.read()).ending).not.toBe('open')
    expect(dns.records).toMatchObject([{ code: 'dns_malformed', dns: { outcome: 'malformed', rcode: 'none', proto: 'tcp' } }])
    tcp.socket.destroy()
  })

  test('one address has so many connections; another still gets its own', async () => {
    await using dns = await startDns()
    const open = Array.from({ length: connections.peer }, () => openTcp(dns.port, devbot))
    for (const tcp of open) tcp.write(frame(question('good.test', 'A')))
    for (const tcp of open) expect(unframe((await tcp.read(atLeast(20))).bytes)).toHaveLength(1)
    const over = openTcp(dns.port, devbot)
    expect((await over.read()).ending).not.toBe('open')
    const other = openTcp(dns.port, newbot)
    other.write(frame(question('good.test', 'A')))
    expect(unframe((await other.read(atLeast(20))).bytes)).toHaveLength(1)
    for (const tcp of [...open, over, other]) tcp.socket.destroy()
  })

  test('a connection that never completes a question ends after ten seconds, bytes now and then notwithstanding', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await using dns = await startDns()
    const [active, trickling] = [openTcp(dns.port, devbot), openTcp(dns.port, devbot)]
    const asked = frame(question('good.test', 'A'))
    const ended: string[] = []
    active.socket.on('end', () => ended.push('active'))
    trickling.socket.on('end', () => ended.push('trickling'))
    for (let round = 0; round < 3; round += 1) {
      const answered = once(active.socket, 'data')
      // In this order, so that the answer tells that the other's byte was seen.
      await new Promise((resolve) => trickling.socket.write(asked.subarray(round, round + 1), resolve))
      active.write(asked)
      await answered
      vi.advanceTimersByTime(idleTimeout * 0.4)
    }
    if (ended.length === 0) await once(trickling.socket, 'end')
    expect(ended).toEqual(['trickling'])
    const idle = once(active.socket, 'end')
    vi.advanceTimersByTime(idleTimeout)
    await idle
  })

  test('a client that resets in the middle harms no one', async () => {
    await using dns = await startDns()
    for (let times = 0; times < 20; times += 1) {
      const tcp = openTcp(dns.port, devbot)
      tcp.write(frame(question('good.test', 'A')).subarray(0, 9))
      await new Promise((resolve) => tcp.socket.once('connect', resolve))
      ;(tcp.socket as Socket).resetAndDestroy()
    }
    expect(read(await askUdp(dns.port, devbot, question('good.test', 'A'))).rcode).toBe(0)
  })
})

describe('starting and stopping', () => {
  test('UDP and TCP share one port', async () => {
    await using dns = await startDns()
    const tcp = openTcp(dns.port, devbot)
    tcp.write(frame(question('good.test', 'A')))
    expect(unframe((await tcp.read(atLeast(20))).bytes)).toHaveLength(1)
    expect(await askUdp(dns.port, devbot, question('good.test', 'A'))).toBeDefined()
    tcp.socket.destroy()
  })

  test('a taken port rejects with the system’s error, for UDP and for TCP, and leaves nothing bound', async () => {
    await using first = await startDns()
    await expect(startDns({}, { listen: { address: '127.0.0.1' as Address, port: first.port } })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'bind',
    })
    const occupant = createServer()
    const port = await listen(occupant)
    await expect(startDns({}, { listen: { address: '127.0.0.1' as Address, port } })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'listen',
    })
    await new Promise((resolve) => occupant.close(resolve))
    await using second = await startDns({}, { listen: { address: '127.0.0.1' as Address, port } })
    expect(second.port).toBe(port)
  })

  test('stopping closes connections, gives up on resolvers and writes every count', async () => {
    await using resolver = await startResolver({ 'slow.svc': 'silence' })
    await using dns = await startDns({ forward: [{ zones: ['svc'], to: [`127.0.0.1:${resolver.port}`] }] })
    const tcp = openTcp(dns.port, devbot)
    for (let times = 0; times < 3; times += 1) tcp.write(frame(question('slow.svc', 'A')))
    expect(await eventually(() => resolver.packets.length === 3)).toBe(true)
    await dns.stop()
    expect(sum(dns.records)).toBe(3)
    expect((await tcp.read()).ending).not.toBe('open')
    await dns.server.stop()
    tcp.socket.destroy()
  })

  test('a new policy holds for the next question', async () => {
    await using dns = await startDns()
    const message = question('matrix.test', 'A')
    expect(read(await askUdp(dns.port, devbot, message)).answers).toEqual(['matrix.test A 30 10.43.0.53'])
    dns.snapshot = snapshot({ records: [{ name: 'matrix.test', type: 'A', value: '10.43.7.7' }] }, 'b2')
    expect(read(await askUdp(dns.port, devbot, message)).answers).toEqual(['matrix.test A 30 10.43.7.7'])
    dns.snapshot = undefined
    expect(read(await askUdp(dns.port, devbot, message)).rcode).toBe(2)
  })
})
