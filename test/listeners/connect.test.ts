import { describe, expect, it } from 'vitest'
import { buildClientHello } from '../kit/client-hello.ts'
import { testAuthority } from '../kit/ca.ts'
import { connectThroughProxy, exchange, openH2, openTcp, openTls, requestH2 } from '../kit/raw.ts'
import { startRawUpstream } from '../kit/raw-upstream.ts'
import { authority, codeIn, open, policy, say, stage } from './stage.ts'

const connect = (target: string, more = ''): string => `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${more}\r\n`

describe('a CONNECT', () => {
  it.each([
    ['to port 0', connect('good.test:0'), 400, 'bad_host'],
    ['to port 65536', connect('good.test:65536'), 400, 'bad_host'],
    ['to a port with a leading zero', connect('good.test:0443'), 400, 'bad_host'],
    ['to a port with letters', connect('good.test:443abc'), 400, 'bad_host'],
    ['without a port', connect('good.test'), 400, 'bad_host'],
    ['to an address', connect('127.0.0.1:443'), 400, 'bad_host'],
    ['to an IPv6 address', connect('[::1]:443'), 400, 'bad_host'],
    ['to an address as one number', connect('2130706433:443'), 400, 'bad_host'],
    ['to a path', connect('../../x:443'), 400, 'bad_host'],
    ['with userinfo', connect('good.test@evil.test:443'), 400, 'bad_host'],
    ['with another Host', 'CONNECT good.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n', 400, 'bad_host'],
    ['with a body', connect('good.test:443', 'Content-Length: 5\r\n'), 400, 'bad_framing'],
    ['with a bad proxy password', connect('good.test:443', 'Proxy-Authorization: Basic !\r\n'), 400, 'bad_credential'],
  ])('%s is refused before the 200, and what follows is never read', async (_name, bytes, status, code) => {
    await using on = await stage()
    const { replies, ending } = await say(
      await openTcp({ port: on.ports.proxy }),
      `${bytes}GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n`,
      0,
    )
    expect(replies.map((reply) => [reply.status, codeIn(reply)])).toEqual([[status, code]])
    expect(ending).not.toBe('open')
    expect(on.world.records).toMatchObject([{ verdict: 'deny', code, status }])
    expect(on.world.sent).toEqual([])
  })

  describe.each([
    ['to a host that no rule allows', 'evil.test', 443, 'host_denied'],
    ['to another port', 'other.test', 8443, 'port_denied'],
    ['to port 22', 'good.test', 22, 'port_denied'],
    ['to port 80', 'evil.test', 80, 'host_denied'],
  ])('%s', (_name, host, port, code) => {
    it('is refused inside TLS', async () => {
      await using on = await stage()
      const { replies } = await say(
        await open(on, 'tunnel', host, port),
        `POST /x HTTP/1.1\r\nHost: ${host}:${port}\r\nContent-Length: 2\r\n\r\n{}`,
      )
      expect(replies.map((reply) => [reply.status, codeIn(reply)])).toEqual([[403, code]])
      expect(on.world.records).toMatchObject([
        { type: 'request', verdict: 'deny', code, status: 403, method: 'POST', path: '/x' },
      ])
      expect(on.world.sent).toEqual([])
    })

    it('is refused inside HTTP/2', async () => {
      await using on = await stage()
      const over = await connectThroughProxy(on.ports.proxy, `${host}:${port}`)
      const h2 = await openH2(await openTls({ port: 0, servername: host, ca: authority.certPem, alpn: ['h2'], over }))
      const { status, body } = await requestH2(h2, { ':path': '/', ':authority': `${host}:${port}` })
      h2.destroy()
      expect([status, JSON.parse(body.toString()).error.code]).toEqual([403, code])
      expect(on.world.records).toMatchObject([{ verdict: 'deny', code }])
    })

    it.each([
      ['a request', `GET / HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`],
      ['a request for another host', 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n'],
      ['something like a request', 'SSH-2.0-client\r\n'],
      ['no request', '\x00\x01'],
    ])('is refused in plain when it holds %s', async (_what, bytes) => {
      await using on = await stage()
      const { replies, text } = await say(await connectThroughProxy(on.ports.proxy, `${host}:${port}`), bytes)
      expect([replies[0]?.status, text]).toEqual([403, expect.stringContaining('"request_id"')])
      expect(on.world.records).toMatchObject([{ verdict: 'deny', status: 403 }])
      expect(on.world.sent).toEqual([])
    })

    it('is one denial when nothing comes inside, or no handshake', async () => {
      await using on = await stage()
      for (const bytes of ['', buildClientHello({ names: [host] }), buildClientHello({ names: ['other.test'] })]) {
        const socket = await connectThroughProxy(on.ports.proxy, `${host}:${port}`)
        socket.resume().write(bytes)
        await new Promise((resolve) => setTimeout(resolve, 20))
        socket.destroy()
      }
      const denial = { type: 'tunnel', verdict: 'deny', code, host, port }
      expect(await on.records(3)).toMatchObject([denial, denial, denial])
    })
  })

  it('to denied names opens no more tunnels than its agent has certificates for, and then says so with 403', async () => {
    await using on = await stage({ leaves: { deniedPerAgent: { burst: 3, perSecond: 0.001 } } })
    const first: string[] = []
    for (let i = 0; i < 5; i += 1) {
      const { bytes } = await exchange(await openTcp({ port: on.ports.proxy }), connect(`n${i}.evil.test:443`), {
        until: (received) => received.includes('\r\n\r\n'),
      })
      first.push(bytes.toString('latin1', 9, 12))
    }
    expect(first).toEqual(['200', '200', '200', '403', '403'])
    expect((await say(await open(on, 'tunnel'), 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n')).replies[0]?.status).toBe(200)
  })

  it('to the proxy’s own name needs no rule', async () => {
    await using on = await stage()
    const socket = await open(on, 'tunnel', 'iron-proxy.internal')
    const { replies } = await say(socket, 'GET /v1/self HTTP/1.1\r\nHost: iron-proxy.internal\r\n\r\n')
    expect([replies[0]?.status, JSON.parse(replies[0]?.body.toString() ?? '')]).toMatchObject([200, { agent: 'a' }])
    expect(on.world.records.filter(({ verdict }) => verdict === 'deny')).toEqual([])
  })

  it.each(['http', 'https'] as const)('at the door %s is refused with 405', async (door) => {
    await using on = await stage()
    const { replies } = await say(await open(on, door), connect('good.test:443'), 0)
    expect(replies.map(({ status }) => status)).toEqual([405])
  })

  it('inside a tunnel is refused with 405', async () => {
    await using on = await stage()
    for (const [door, host] of [
      ['tunnel', 'good.test'],
      ['plain-tunnel', 'plain.test'],
    ] as const) {
      expect((await say(await open(on, door, host), connect('good.test:443'), 0)).replies.map(({ status }) => status)).toEqual([
        405,
      ])
    }
  })

  it('opens a tunnel with a record at each end, whose requests name it', async () => {
    await using on = await stage()
    const socket = await open(on, 'tunnel')
    await say(socket, 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n')
    socket.destroy()
    const [opened, request, shut] = await on.records(3)
    expect([opened, request, shut].map((record) => [record?.type, record?.event])).toEqual([
      ['tunnel', 'open'],
      ['request', 'exchange'],
      ['tunnel', 'close'],
    ])
    expect(request?.parent).toBe(opened?.id)
    expect(shut?.id).toBe(opened?.id)
  })

  it('takes the first bytes of the tunnel with the head', async () => {
    await using on = await stage()
    const { bytes } = await exchange(
      await openTcp({ port: on.ports.proxy }),
      Buffer.concat([Buffer.from(connect('good.test:443')), buildClientHello({ names: ['good.test'] })]),
      {
        until: (received) => received.includes('\x16\x03\x03', 0, 'latin1'),
      },
    )
    expect(bytes.toString('latin1')).toMatch(/^HTTP\/1\.1 200 /)
    expect(bytes[bytes.indexOf('\r\n\r\n') + 4]).toBe(22)
  })

  it('to port 8443 is for that port, with or without it in Host', async () => {
    await using on = await stage()
    for (const host of ['good.test', 'good.test:8443']) {
      expect(
        (await say(await open(on, 'tunnel', 'good.test', 8443), `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).replies[0]?.status,
      ).toBe(200)
    }
    expect(on.world.sent).toMatchObject([
      { head: { port: 8443 }, headers: expect.arrayContaining(['good.test:8443']) },
      { head: { port: 8443 } },
    ])
  })

  it('lets HTTP/2 through', async () => {
    await using on = await stage()
    const over = await connectThroughProxy(on.ports.proxy, 'good.test:443')
    const h2 = await openH2(await openTls({ port: 0, servername: 'good.test', ca: authority.certPem, alpn: ['h2'], over }))
    expect((await requestH2(h2, { ':path': '/', ':authority': 'good.test' })).status).toBe(200)
    expect((await requestH2(h2, { ':path': '/', ':authority': 'other.test' })).status).toBe(421)
    h2.destroy()
  })
})

describe('inside a tunnel', () => {
  it('another name in the ClientHello than in CONNECT closes', async () => {
    await using on = await stage()
    const { bytes } = await exchange(
      (await connectThroughProxy(on.ports.proxy, 'good.test:443')).resume(),
      buildClientHello({ names: ['evil.test'] }),
    )
    expect(bytes).toHaveLength(0)
    expect(on.world.records.filter(({ type }) => type === 'tls')).toMatchObject([{ code: 'tls_sni_mismatch', host: 'evil.test' }])
  })

  it('another Host than in CONNECT is misdirected', async () => {
    await using on = await stage()
    expect((await say(await open(on, 'tunnel'), 'GET / HTTP/1.1\r\nHost: other.test\r\n\r\n')).replies[0]?.status).toBe(421)
    expect(on.world.sent).toEqual([])
  })

  it.each([
    ['good.test:443', 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n', 'tls_not_tls'],
    ['good.test:443', 'SSH-2.0-x\r\n', 'tls_not_tls'],
    ['plain.test:80', '\x00\x01', 'malformed_request'],
    ['plain.test:80', 'get / HTTP/1.1\r\n', 'malformed_request'],
  ])('to %s, %j closes and is recorded', async (target, bytes, code) => {
    await using on = await stage()
    const socket = (await connectThroughProxy(on.ports.proxy, target)).resume()
    expect((await exchange(socket, bytes)).ending).not.toBe('open')
    expect(on.world.records.filter(({ event }) => event === 'exchange')).toMatchObject([{ code }])
    expect(on.world.sent).toEqual([])
  })

  it('that is not looked into, the ClientHello still has to be for its name', async () => {
    await using on = await stage()
    await using far = await startRawUpstream({ certificate: testAuthority().leaf('pinned.test') }, async (line) => {
      await line.read((received) => received.length > 0)
      line.write('pong')
    })
    on.connect = async () => openTcp({ port: far.port })
    const good = await openTls({
      port: 0,
      servername: 'pinned.test',
      ca: testAuthority().certPem,
      over: await connectThroughProxy(on.ports.proxy, 'pinned.test:443'),
    })
    expect((await exchange(good, 'ping', { until: (received) => received.length === 4 })).bytes.toString()).toBe('pong')
    const bad = (await connectThroughProxy(on.ports.proxy, 'pinned.test:443')).resume()
    expect((await exchange(bad, buildClientHello({ names: ['evil.test'] }))).bytes).toHaveLength(0)
    expect(far.wires).toHaveLength(1)
    expect(on.world.records.filter(({ code }) => code === 'tls_sni_mismatch')).toHaveLength(1)
  })
})

describe('an agent known by its password', () => {
  const text = `agents: {a: {from: [{cidr: 127.0.0.9}]}, named: {from: [{proxyAuth: {username: named, password: {env: KEY}}}]}}${policy}`
  const basic = (password: string): string =>
    `Proxy-Authorization: Basic ${Buffer.from(`named:${password}`).toString('base64')}\r\n`

  it('gets a tunnel with it, in which its requests are known too', async () => {
    await using on = await stage({ text })
    const over = await connectThroughProxy(on.ports.proxy, 'good.test:443', {
      auth: { username: 'named', password: 'the-real-value-of-key' },
    })
    const socket = await openTls({ port: 0, servername: 'good.test', ca: authority.certPem, over })
    expect((await say(socket, 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n')).replies[0]?.status).toBe(200)
    expect((await on.records(2)).map(({ agent }) => agent)).toEqual(['named', 'named'])
  })

  it.each([
    ['without it', ''],
    ['with a wrong one', basic('wrong')],
  ])('is asked for it %s', async (_name, header) => {
    await using on = await stage({ text })
    const { replies } = await say(await openTcp({ port: on.ports.proxy }), connect('good.test:443', header), 0)
    expect(replies[0]?.status).toBe(407)
    expect(replies[0]?.rawHeaders.map((each) => each.toLowerCase())).toContain('proxy-authenticate')
  })
})
