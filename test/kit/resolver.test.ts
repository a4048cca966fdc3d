import { Resolver as Client } from 'node:dns/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exchange, openTcp } from './raw.ts'
import { startResolver, type Resolver } from './resolver.ts'

let resolver: Resolver
let client: Client

beforeAll(async () => {
  resolver = await startResolver({
    'good.test': ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
    'alias.test': { cname: 'good.test' },
    'broken.test': { rcode: 2 },
    'silent.test': 'silence',
    'long.test': { truncated: ['192.0.2.7'] },
  })
  client = new Client({ timeout: 100, tries: 1 })
  client.setServers([`127.0.0.1:${resolver.port}`])
})

afterAll(() => resolver[Symbol.asyncDispose]())

test('addresses are answered by family', async () => {
  expect(await client.resolve4('good.test')).toEqual(['192.0.2.1', '192.0.2.2'])
  expect(await client.resolve6('good.test')).toEqual(['2001:db8::1'])
})

test('an alias is answered as such', async () => {
  expect(await client.resolveCname('alias.test')).toEqual(['good.test'])
})

test.each([
  ['unknown.test', 'ENOTFOUND'],
  ['broken.test', 'ESERVFAIL'],
  ['silent.test', 'ETIMEOUT'],
])('%s fails with %s', async (name, code) => {
  await expect(client.resolve4(name)).rejects.toMatchObject({ code })
})

test('each packet is recorded', async () => {
  await client.resolve4('good.test')
  expect(resolver.packets.at(-1)).toMatchObject({ transport: 'udp', name: 'good.test', type: 1 })
})

test('a truncated answer is whole over TCP', async () => {
  expect(await client.resolve4('long.test')).toEqual(['192.0.2.7'])
  expect(resolver.packets.slice(-2).map((packet) => packet.transport)).toEqual(['udp', 'tcp'])
})

test('two queries in one TCP segment are both answered, and recorded as they are spelled', async () => {
  const query = Buffer.from('12340100000100000000000004474f4f44047465737400 0001 0001'.replaceAll(' ', ''), 'hex')
  const message = Buffer.concat([Buffer.from([0, query.length]), query])
  const socket = await openTcp({ port: resolver.port })
  const before = resolver.packets.length
  const seen = { transport: 'tcp', id: 0x1234, name: 'GOOD.test', type: 1 }
  const { bytes } = await exchange(socket, Buffer.concat([message, message]), { timeout: 100 })
  socket.destroy()
  expect(resolver.packets.slice(before)).toMatchObject([seen, seen])
  expect(bytes.readUInt16BE(0) * 2 + 4).toBe(bytes.length)
})
