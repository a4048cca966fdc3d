/** The threat list, part A: which host is this, below HTTP? Greetings, sessions, certificates and the addresses that are dialled. */
import { generateKeyPairSync } from 'node:crypto'
import { connect, createSecureContext, createServer, type SecureContext, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseHost } from '#base/host.ts'
import { loadAuthority } from '#ca/files.ts'
import { issueLeaf } from '#ca/leaf.ts'
import { subjectKey } from '#ca/x509.ts'
import { makeTestAuthority, testAuthority } from '../kit/ca.ts'
import { buildClientHello } from '../kit/client-hello.ts'
import { closer, listen, type Started } from '../kit/listen.ts'
import { connectThroughProxy, exchange, openTcp, openTls } from '../kit/raw.ts'
import { repliesOf } from '../kit/reply.ts'
import { startUpstream, type Upstream } from '../kit/upstream.ts'
import { startRig, stub, type Rig, type Verdict } from './threat-rig.ts'

type Impostors = { selfSigned: Upstream; wrongName: Upstream; tooDeep: Upstream; expired: Upstream; ours: Started }

let rig: Rig<Impostors>
let oursContext: SecureContext | undefined

beforeAll(async () => {
  const leaf = (host: string) => ({ certificate: makeTestAuthority('Rogue root').leaf(host) })
  rig = await startRig<Impostors>({
    rules: '  - {id: impostors, hosts: ["*.impostor.test"], credentials: [impostor]}',
    credentials:
      '  impostor: {kind: bearer, stub: proxy-token-impostor, secret: {file: secrets/impostor}, hosts: ["*.impostor.test"]}',
    secrets: ['impostor'],
    settings: { upstream: { allowPrivate: [] } },
    upstreams: {
      selfSigned: { hosts: ['self-signed.impostor.test'], start: () => startUpstream(leaf('self-signed.impostor.test')) },
      wrongName: {
        hosts: ['wrong-name.impostor.test'],
        start: () => startUpstream({ certificate: testAuthority().leaf('else.test') }),
      },
      tooDeep: {
        hosts: ['too.deep.impostor.test'],
        start: () => startUpstream({ certificate: testAuthority().leaf('deep.impostor.test') }),
      },
      expired: {
        hosts: ['expired.impostor.test'],
        start: () => startUpstream({ certificate: expiredLeaf('expired.impostor.test') }),
      },
      ours: { hosts: ['ours.impostor.test'], start: startLater },
    },
  })
  const { caFile: certPath, caKeyFile: keyPath, ca } = rig.scene.files
  const authority = await loadAuthority({ certPath, keyPath, now: Date.now() })
  oursContext = createSecureContext({ ...leafOf(authority, 'ours.impostor.test', Date.now()), ca })
})
afterAll(() => rig[Symbol.asyncDispose]())

const get = (host: string, target = '/json', more = ''): string => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`

describe('a TLS greeting that names no host, or cannot be read, is closed and never gets a default certificate', () => {
  test.each<[string, Buffer, Verdict]>([
    ['no server name', buildClientHello(), 'tls_no_sni'],
    ['an empty server name', buildClientHello({ names: [''] }), 'tls_no_sni'],
    ['a server name of 300 bytes', buildClientHello({ names: ['a.'.repeat(150)] }), 'tls_bad_sni'],
    ['two server names', buildClientHello({ names: ['good.test', 'evil.test'] }), 'tls_not_tls'],
    [
      'two server names in two extensions',
      buildClientHello({ names: ['good.test'], extensions: [[0, serverNameOf('evil.test')]] }),
      'tls_not_tls',
    ],
    ['a server name that runs past its end', corrupt(buildClientHello({ names: ['good.test'] })), 'tls_not_tls'],
    ['64 KiB of padding', buildClientHello({ names: ['good.test'], padding: 65_408 }), 'tls_not_tls'],
    ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), 'tls_not_tls'],
    ['plain HTTP on the TLS port', Buffer.from(get('good.test')), 'tls_not_tls'],
    ['an SSL 2 greeting', Buffer.from('802e0100020015000000100100800700c0', 'hex'), 'tls_not_tls'],
    ['zero bytes', Buffer.alloc(64), 'tls_not_tls'],
    ['a record of no length', Buffer.from('1603010000', 'hex'), 'tls_not_tls'],
    ['an alert instead of a greeting', Buffer.from('15030100020100', 'hex'), 'tls_not_tls'],
  ])('%s', async (_, bytes, code) => {
    const { value } = await rig.refused([code, code], async () => {
      const tunnel = await connectThroughProxy(rig.scene.ports.proxy, 'good.test:443')
      return [await rig.greet('https', bytes), await exchange(tunnel, bytes)]
    })
    for (const { ending, bytes: answer } of value) {
      expect(ending).not.toBe('open')
      expect(answer).toHaveLength(0)
    }
  })
})

describe('an unusual greeting is read as what it is', () => {
  test.each<[string, Buffer]>([
    ['split over records of ten bytes', buildClientHello({ names: ['good.test'], recordSize: 10 })],
    ['as large as post-quantum ones', buildClientHello({ names: ['good.test'], padding: 1500 })],
    [
      'with an ECH extension: the outer name counts',
      buildClientHello({ names: ['good.test'], extensions: [[0xfe0d, Buffer.alloc(200, 7)]] }),
    ],
  ])('%s', async (_, bytes) => {
    const { value } = await rig.watched(['client_closed'], () => rig.greet('https', bytes, { until: (got) => got.length > 5 }))
    expect(value.bytes[0]).toBe(22)
  })

  test('one byte in each segment', async () => {
    const { value } = await rig.watched(['client_closed'], async () => {
      const socket = await openTcp({ port: rig.scene.ports.https })
      for (const byte of buildClientHello({ names: ['good.test'] })) {
        socket.write(Uint8Array.of(byte))
        await new Promise(setImmediate)
      }
      const reading = await exchange(socket, '', { until: (got) => got.length > 5 })
      socket.destroy()
      return reading
    })
    expect(value.bytes[0]).toBe(22)
  })

  test('an ECH extension around a name that nobody may reach reaches nobody', async () => {
    const hello = buildClientHello({ names: ['evil.test'], extensions: [[0xfe0d, Buffer.alloc(200, 7)]] })
    const { records } = await rig.watched(['client_closed'], () => rig.greet('https', hello, { until: (got) => got.length > 5 }))
    expect(records[0]?.host).toBe('evil.test')
  })

  test.each(['h2c', 'acme-tls/1', 'h3', 'x'])('only the protocol %s offered: no handshake', async (protocol) => {
    const { value } = await rig.refused(['tls_handshake'], () =>
      openTls({ port: rig.scene.ports.https, servername: 'good.test', alpn: [protocol] }).then(
        () => 'greeted',
        (error: NodeJS.ErrnoException) => error.code,
      ),
    )
    expect(value).toBe('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
  })

  test('HTTP/1.1 where h2 was agreed, and h2 where HTTP/1.1 was', async () => {
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    const { value } = await rig.refused(
      (heard) => heard.flatMap(({ code }) => (code ? [code as Verdict] : [])),
      async () => {
        const socket = await openTls({
          port: rig.scene.ports.https,
          servername: 'good.test',
          ca: rig.scene.files.ca,
          alpn: ['h2'],
        })
        const asH1 = rig.hear(await exchange(socket, get('good.test')))
        socket.destroy()
        return [asH1, await rig.say('https', preface, { until: () => false })]
      },
    )
    expect(value.map(({ ending }) => ending)).not.toContain('open')
    expect(value.map(({ status }) => status)).toEqual([0, 400])
  })
})

test('a TLS session for one host does not carry over to another', async () => {
  const auth = `Authorization: Bearer ${stub}\r\n`
  const { value } = await rig.watched(['allow', 'misdirected'], async () => {
    const first = (await rig.open('https')) as TLSSocket
    const ticket = Promise.withResolvers<Buffer>()
    first.on('session', ticket.resolve)
    rig.hear(await exchange(first, get('good.test'), { until: repliesOf(1) }))
    const session = await ticket.promise
    first.destroy()
    const resumed = connect({
      host: '127.0.0.1',
      port: rig.scene.ports.https,
      servername: 'other.test',
      session,
      ca: rig.scene.files.ca,
      ALPNProtocols: ['http/1.1'],
    })
    const heard = rig.hear(await exchange(resumed, get('good.test', '/json', auth), { until: repliesOf(1) }))
    resumed.destroy()
    return heard
  })
  expect(value.status).toBe(421)
})

describe('a host that is not what it says is never sent the real value', () => {
  test.each<[keyof Impostors, string]>([
    ['selfSigned', 'self-signed.impostor.test'],
    ['wrongName', 'wrong-name.impostor.test'],
    ['tooDeep', 'too.deep.impostor.test'],
    ['expired', 'expired.impostor.test'],
    ['ours', 'ours.impostor.test'],
  ])('its certificate is %s', async (which, host) => {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      const { value } = await rig.watched(['upstream_tls'], () =>
        rig.say('https', get(host, '/json', 'Authorization: Bearer proxy-token-impostor\r\n'), { name: host }),
      )
      expect(value).toMatchObject({ status: 502, code: 'upstream_tls' })
      expect((rig.scene.upstreams[which] as Partial<Upstream>).requests ?? []).toEqual([])
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    }
  })
})

describe('an allowed name is dialled only at an address that may be dialled', () => {
  test.each<[string, readonly string[], Verdict]>([
    ['loopback', ['127.0.0.53'], 'destination_denied'],
    ['private', ['10.0.0.1'], 'destination_denied'],
    ['metadata', ['169.254.169.254'], 'destination_denied'],
    ['carrier-grade NAT', ['100.64.1.1'], 'destination_denied'],
    ['unspecified', ['0.0.0.0'], 'destination_denied'],
    ['broadcast', ['255.255.255.255'], 'destination_denied'],
    ['IPv6 loopback', ['::1'], 'destination_denied'],
    ['IPv6 unique local', ['fd00:ec2::254'], 'destination_denied'],
    ['IPv4 mapped into IPv6', ['::ffff:a00:1'], 'destination_denied'],
    ['NAT64', ['64:ff9b::7f00:1'], 'destination_denied'],
    ['6to4', ['2002:7f00:1::'], 'destination_denied'],
    ['Teredo', ['2001::1'], 'destination_denied'],
    ['several, all of them private', ['10.0.0.1', '192.168.1.1', 'fe80::1'], 'destination_denied'],
    ['our own', ['127.0.0.1'], 'proxy_loop'],
    ['our own among others', ['10.0.0.1', '127.0.0.1'], 'proxy_loop'],
  ])('%s', async (kind, addresses, code) => {
    const host = `${kind.toLowerCase().replace(/[^a-z0-9]+/g, '-')}.zone.test`
    rig.scene.resolver.answers.set(host, addresses)
    const { value } = await rig.watched([code], () => rig.say('https', get(host), { name: host }))
    expect(value).toMatchObject({ status: 403, code })
    // The agent learns no address from it.
    expect(value.replies[0]?.body.toString()).not.toMatch(/\d+\.\d+\.\d+\.\d+|::/)
  })
})

function serverNameOf(name: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(name.length)
  const entry = Buffer.concat([Buffer.from([0]), length, Buffer.from(name)])
  const list = Buffer.alloc(2)
  list.writeUInt16BE(entry.length)
  return Buffer.concat([list, entry])
}

/** The length of the server name says more than there is. */
function corrupt(hello: Buffer): Buffer {
  const bytes = Buffer.from(hello)
  bytes.writeUInt16BE(0xff00, bytes.indexOf('good.test') - 2)
  return bytes
}

function leafOf(authority: Parameters<typeof issueLeaf>[0], name: string, now: number): { cert: string; key: string } {
  const host = parseHost(name)
  if (!host) throw new Error(name)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { certPem } = issueLeaf(authority, { hosts: [host], key: subjectKey(publicKey), now, lifetimeMs: 60_000 })
  return { cert: certPem, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}

function expiredLeaf(name: string): { certPem: string; keyPem: string } {
  const { cert, key } = leafOf(testAuthority().authority, name, Date.now() - 600_000)
  return { certPem: cert, keyPem: key }
}

/** An upstream with a certificate of the proxy's own CA, which exists only once the rig does. */
async function startLater(): Promise<Started> {
  const server = createServer({ SNICallback: (_, done) => done(null, oursContext) }, (socket) => socket.destroy())
  const close = closer(server)
  return { port: await listen(server), [Symbol.asyncDispose]: close }
}
