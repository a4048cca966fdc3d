/** The connections that the proxy opens for itself: to a server that cannot show its name it says nothing at all. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PodApi } from '#identity/api.ts'
import { natsSink } from '#observe/nats.ts'
import { Webhook } from '#observe/webhook.ts'
import { connect } from '#store/redis/client.ts'
import { testAuthority, type TestLeaf } from '../kit/ca.ts'
import { closer, listen } from '../kit/listen.ts'
import { placeOf } from '../store/redis/parts.ts'

const cleanUp = new AsyncDisposableStack()
let tokenFile: string
let caFile: string

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'own-connections-'))
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }))
  tokenFile = join(folder, 'token')
  caFile = join(folder, 'ca.crt')
  await writeFile(tokenFile, 'a token')
  await writeFile(caFile, testAuthority().certPem)
  // Some callers have no roots of their own.
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, testAuthority().certPem])
  cleanUp.defer(() => setDefaultCACertificates(before))
})
afterAll(() => cleanUp.disposeAsync())

/** Tries to say something to `localhost`. Returns how to give it up. */
type Call = (port: number) => () => unknown

const line = `${JSON.stringify({ id: 'A1', time: '2026-11-21T00:00:00.000Z', type: 'request', event: 'exchange', verdict: 'allow' })}\n`

const callers: readonly (readonly [string, Call, string | undefined])[] = [
  [
    'the receiver of alerts',
    (port) => {
      const webhook = new Webhook(`https://localhost:${port}/`, () => {})
      webhook.send({ text: 'hello' })
      return () => webhook.close()
    },
    undefined,
  ],
  [
    'NATS',
    (port) => {
      const sink = natsSink({ url: `tls://localhost:${port}`, subject: 'swarm.events', stream: 'SWARM_EVENTS' })
      sink.write(Buffer.from(line)).catch(() => {})
      return () => sink.close()
    },
    // Its server speaks first, before TLS begins.
    'INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1048576,"tls_required":true}\r\n',
  ],
  [
    'Redis',
    (port) => {
      const client = connect({ place: placeOf(`rediss://localhost:${port}/0`), ca: testAuthority().certPem }, () => {})
      client.on('error', () => {})
      client.connect().catch(() => {})
      return () => client.disconnect()
    },
    undefined,
  ],
  [
    'the API of the cluster',
    (port) => {
      const api = new PodApi({ server: new URL(`https://localhost:${port}/`), token: tokenFile, ca: caFile })
      const stop = new AbortController()
      api.list('agents', stop.signal).catch(() => {})
      return () => {
        stop.abort()
        api.close()
      }
    },
    undefined,
  ],
]

/** What a server with this certificate hears first after the handshake; `nothing`: the caller closed the connection. */
async function heard({ certPem, keyPem }: TestLeaf, call: Call, greeting?: string): Promise<'something' | 'nothing'> {
  const { promise, resolve } = Promise.withResolvers<'something' | 'nothing'>()
  const server = createServer((socket: Socket) => {
    if (greeting !== undefined) socket.write(greeting)
    const secure = new TLSSocket(socket, { isServer: true, cert: certPem, key: keyPem })
    secure.on('error', () => resolve('nothing'))
    secure.on('close', () => resolve('nothing'))
    secure.on('data', () => resolve('something'))
  })
  const close = closer(server)
  const stop = call(await listen(server))
  try {
    return await promise
  } finally {
    await close()
    await stop()
  }
}

describe.each(callers)('to %s', (_, call, greeting) => {
  test('a server that shows its name in subjectAltName is spoken to', async () => {
    expect(await heard(testAuthority().leaf('localhost'), call, greeting)).toBe('something')
  })

  test.each([
    ['its common name alone', () => testAuthority().namedByCommonName('localhost')],
    ['another name', () => testAuthority().leaf('other.test')],
  ])('one that shows %s is not', async (_shown, made) => {
    expect(await heard(made(), call, greeting)).toBe('nothing')
  })
})
