import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Deadlines } from '#base/deadlines.ts'
import type { ReplySink } from '#contracts/reply.ts'
import { H1Connection } from '#listeners/h1-connection.ts'
import { addressOf, worldOf } from '../journey/parts.ts'
import type { World } from '../journey/parts.ts'
import { ManualClock } from '../kit/clock.ts'
import { hostOf, snapshotOf } from '../kit/policy.ts'
import { policy } from './stage.ts'

const minute = 60_000
const get = 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n'
const post = (path: string): string => `POST ${path} HTTP/1.1\r\nHost: good.test\r\nContent-Length: 2\r\n\r\nok`

interface Opened {
  readonly world: World
  readonly clock: ManualClock
  readonly socket: Duplex
  /** What was written to the agent. */
  written(): string
}

/** A connection whose socket and time are in the hand of the test. */
async function opened(): Promise<Opened> {
  const world = worldOf(await snapshotOf(policy), { KEY: 'the-real-value-of-key' })
  const clock = new ManualClock()
  let text = ''
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString('latin1')
      done()
    },
  })
  const made = new H1Connection(
    Object.assign(socket, { destroySoon: () => socket.destroy() }) as unknown as Socket,
    {
      door: 'https',
      peer: { address: addressOf('127.0.0.1'), port: 1 },
      scheme: 'https',
      bound: { host: hostOf('good.test'), port: 443 },
      localPort: 443,
    },
    { ports: world.ports, deadlines: new Deadlines(clock), closes: () => false, connect: () => {}, closed: () => {} },
  )
  expect(made.idle).toBe(true)
  return { world, clock, socket, written: () => text }
}

async function pass(clock: ManualClock, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 500) clock.advance(500)
  await turn()
}

it('a stream that goes on lives for hours, though its agent says nothing', async () => {
  const on = await opened()
  let sink: ReplySink | undefined
  on.world.send = (_outbound, _body, given) => {
    sink = given
    given.head(200, [])
    return new Promise(() => {})
  }
  on.socket.push(get)
  await turn()
  for (let i = 0; i < 12; i += 1) {
    await pass(on.clock, 15 * minute)
    sink?.data(Buffer.from('event'))
    await turn()
  }
  expect(on.socket.destroyed).toBe(false)
  await pass(on.clock, 21 * minute)
  expect(on.socket.destroyed).toBe(true)
})

it.each([
  ['silent from the start', '', 30_500, /^HTTP\/1\.1 408 /],
  ['in the middle of a head', 'GET / HT', 30_500, /^HTTP\/1\.1 408 /],
])('a connection that is %s is told so after half a minute, and closed', async (_name, bytes, after, told) => {
  const on = await opened()
  if (bytes) on.socket.push(bytes)
  await turn()
  await pass(on.clock, after)
  expect(on.written()).toMatch(told)
  await turn()
  expect(on.socket.destroyed).toBe(true)
  expect(on.world.records).toMatchObject([{ code: 'request_timeout' }])
})

it('an idle connection that was used is closed without a word', async () => {
  const on = await opened()
  on.socket.push(get)
  await turn()
  expect(on.written()).toMatch(/^HTTP\/1\.1 200 /)
  await pass(on.clock, 70_000)
  expect(on.socket.destroyed).toBe(false)
  await pass(on.clock, 10_000)
  expect(on.socket.destroyed).toBe(true)
  expect(on.world.records).toHaveLength(1)
})

it('behind a request with a body the next waits for its reply; without bodies eight run at once', async () => {
  const on = await opened()
  on.world.send = () => new Promise(() => {})
  on.socket.push(post('/1') + post('/2'))
  await turn()
  expect(on.world.sent.map(({ head }) => head.path)).toEqual(['/1'])
  const other = await opened()
  other.world.send = () => new Promise(() => {})
  other.socket.push(get.repeat(20))
  await turn()
  expect(other.world.sent).toHaveLength(8)
})
