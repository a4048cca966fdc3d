import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { issueLeaf } from '#ca/leaf.ts'
import { implicit, sequence } from '#ca/der.ts'
import type { Der } from '#ca/der.ts'
import { extension, subjectKey } from '#ca/x509.ts'
import { Dialer } from '#upstream/dial.ts'
import type { DialOptions } from '#upstream/dial.ts'
import { addressOf } from '../journey/parts.ts'
import { makeTestAuthority, testAuthority } from '../kit/ca.ts'
import { listen, type Certificate } from '../kit/listen.ts'
import { hostOf } from '../kit/policy.ts'
import { startUpstream } from '../kit/upstream.ts'
import { cidrOf, dialing } from './parts.ts'

const good = { host: hostOf('good.test'), port: 443 }

async function tcp(options: DialOptions): Promise<string> {
  try {
    const socket = await new Dialer(options).tcp(good)
    socket.destroy()
    return 'connected'
  } catch (error) {
    return (error as { code: string }).code
  }
}

async function tls(
  certificate: Certificate,
  host = 'good.test',
  alpn: readonly string[] = ['http/1.1'],
  protocol: 'h1' | 'h2' | 'both' = 'both',
): Promise<string> {
  await using server = await startUpstream({ certificate, protocol })
  try {
    const socket = await new Dialer(dialing(server.port)).tls({ host: hostOf(host), port: 443 }, alpn)
    socket.destroy()
    return `${socket.alpnProtocol || 'none'} ${server.connections[0]?.hello?.names.join()}`
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a TCP connection', () => {
  it('goes to the fixed address of a name, and nothing is resolved', async () => {
    await using server = await startUpstream({ certificate: testAuthority().leaf('good.test') })
    expect(await tcp(dialing(server.port))).toBe('connected')
  })

  it('goes to an address that was checked, by the port that was asked for', async () => {
    const server = createServer((socket) => socket.destroy())
    const port = await listen(server)
    const resolve = async () => [addressOf('127.0.0.1')]
    const at = (allowPrivate: DialOptions['allowPrivate']) =>
      new Dialer(dialing(1, { hosts: new Map(), resolve, allowPrivate })).tcp({ host: good.host, port })
    ;(await at([cidrOf('127.0.0.0/8')])).destroy()
    await expect(at([])).rejects.toMatchObject({ code: 'destination_denied' })
    server.close()
  })

  it('asks for its addresses once, so that they cannot change between check and dial', async () => {
    let asked = 0
    const answers = [[addressOf('10.0.0.1')], [addressOf('127.0.0.1')]]
    const resolve = async () => answers[asked++] ?? []
    expect(await tcp(dialing(1, { hosts: new Map(), resolve, allowPrivate: [cidrOf('127.0.0.0/8')] }))).toBe('destination_denied')
    expect(asked).toBe(1)
  })

  it('is never one to ourselves, wherever the address comes from', async () => {
    const own = { has: () => true }
    expect(await tcp(dialing(1, { own }))).toBe('proxy_loop')
    expect(await tcp(dialing(1, { own, hosts: new Map(), resolve: async () => [addressOf('1.1.1.1')] }))).toBe('proxy_loop')
  })

  it('that is refused says so', async () => {
    const server = createServer()
    const port = await listen(server)
    await new Promise((resolve) => server.close(resolve))
    expect(await tcp(dialing(port))).toBe('upstream_unreachable')
  })

  it('is not opened for who has gone', async () => {
    await expect(new Dialer(dialing(1)).tcp(good, AbortSignal.abort())).rejects.toBeDefined()
  })
})

describe('a TLS session', () => {
  const leaf = (order: { readonly now: number; readonly lifetimeMs: number }): Certificate => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { certPem } = issueLeaf(testAuthority().authority, { hosts: [good.host], key: subjectKey(publicKey), ...order })
    return { certPem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
  }

  it('is for the name that was decided on', async () => {
    expect(await tls(testAuthority().leaf('good.test'))).toBe('http/1.1 good.test')
  })

  it.each<[string, () => Certificate]>([
    ['for another name', () => testAuthority().leaf('other.test')],
    ['for a name around ours', () => testAuthority().leaf('a.good.test')],
    ['of a root that nobody trusts', () => makeTestAuthority('Stranger').leaf('good.test')],
    ['of our own CA for agents', () => makeTestAuthority('iron-proxy CA').leaf('good.test')],
    [
      'that signs itself',
      () => {
        const { certPem, authority } = makeTestAuthority('good.test')
        return { certPem, keyPem: authority.key.export({ type: 'pkcs8', format: 'pem' }) }
      },
    ],
    ['that has expired', () => leaf({ now: Date.now() - 20_000, lifetimeMs: 10_000 })],
  ])('with a certificate %s is refused', async (_name, certificate) => {
    expect(await tls(certificate())).toBe('upstream_tls')
  })

  it.each<[string, readonly Der[] | undefined]>([
    ['no name', undefined],
    ['an empty list of names', []],
    ['an address', [implicit(7, Buffer.from([127, 0, 0, 1]))]],
    ['a mail address', [implicit(1, Buffer.from('root@good.test'))]],
    ['a URI', [implicit(6, Buffer.from('https://good.test/'))]],
    ['another name', [implicit(2, Buffer.from('other.test'))]],
  ])('with our name as its CN alone, and %s in subjectAltName, is refused', async (_name, names) => {
    const extensions = names ? [extension('2.5.29.17', false, sequence(...names))] : []
    const certificate = testAuthority().namedByCommonName('good.test', extensions)
    expect(await tls(certificate)).toBe('upstream_tls')
  })

  it('is not resumed for another name', async () => {
    await using server = await startUpstream({ certificate: testAuthority().leaf('good.test') })
    const dialer = new Dialer(dialing(server.port))
    for (let i = 0; i < 2; i += 1) (await dialer.tls(good, ['http/1.1'])).destroy()
    await expect(dialer.tls({ host: hostOf('other.test'), port: 443 }, ['http/1.1'])).rejects.toMatchObject({
      code: 'upstream_tls',
    })
  })

  it('without a common protocol is told apart', async () => {
    expect(await tls(testAuthority().leaf('good.test'), 'good.test', ['http/1.1'], 'h2')).toBe('upstream_protocol')
    expect(await tls(testAuthority().leaf('good.test'), 'good.test', ['h2'], 'h2')).toBe('h2 good.test')
  })

  it('with a host that says nothing ends at the deadline', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    const port = await listen(silent)
    await expect(new Dialer(dialing(port, { connectTimeout: 50 })).tls(good, ['h2'])).rejects.toMatchObject({
      code: 'upstream_connect_timeout',
    })
    silent.close()
  })

  it('with a host that hangs up is a reset, and one that is not TLS is an error of TLS', async () => {
    const rude = createServer((socket) => socket.on('error', () => {}).destroy())
    await expect(new Dialer(dialing(await listen(rude))).tls(good, ['h2'])).rejects.toMatchObject({ code: 'upstream_reset' })
    rude.close()
    const plain = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await expect(new Dialer(dialing(await listen(plain))).tls(good, ['h2'])).rejects.toMatchObject({ code: 'upstream_tls' })
    plain.close()
  })
})
