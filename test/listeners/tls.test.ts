import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTls, createSecureContext } from 'node:tls'
import type { SecureVersion } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { codeIn, authority, open, say, stage, until } from './stage.ts'
import { buildClientHello } from '../kit/client-hello.ts'
import { startRawUpstream } from '../kit/raw-upstream.ts'
import { testAuthority } from '../kit/ca.ts'
import { exchange, openTcp, openTls } from '../kit/raw.ts'

describe('a connection to the https door', () => {
  it.each([
    ['without a name', buildClientHello({}), 'tls_no_sni'],
    ['with an empty name', buildClientHello({ names: [''] }), 'tls_no_sni'],
    ['with an address as its name', buildClientHello({ names: ['127.0.0.1'] }), 'tls_bad_sni'],
    ['with a name of 256 bytes', buildClientHello({ names: [`${'a.'.repeat(128)}b`] }), 'tls_bad_sni'],
    ['with an empty label', buildClientHello({ names: ['a..b'] }), 'tls_bad_sni'],
    ['with a space in the name', buildClientHello({ names: ['a b'] }), 'tls_bad_sni'],
    ['with a NUL in the name', buildClientHello({ names: ['evil.test\0.good.test'] }), 'tls_bad_sni'],
    ['with two names', buildClientHello({ names: ['good.test', 'evil.test'] }), 'tls_not_tls'],
    ['in plain HTTP', 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n', 'tls_not_tls'],
    ['in SSH', 'SSH-2.0-client\r\n', 'tls_not_tls'],
    ['of random bytes', '\x00\xff\x00\xff', 'tls_not_tls'],
  ])('%s is closed without a word and recorded once', async (_name, bytes, code) => {
    await using on = await stage()
    const { bytes: answer, ending } = await exchange(await openTcp({ port: on.ports.https }), bytes)
    expect([answer.length, ending === 'open']).toEqual([0, false])
    expect(on.world.records).toMatchObject([{ type: 'tls', code, verdict: 'deny', door: 'https', agent: 'a' }])
  })

  it('whose name is spelled in capitals is the same host', async () => {
    await using on = await stage()
    const socket = await openTls({ port: on.ports.https, servername: 'GOOD.Test', ca: authority.certPem })
    expect((await say(socket, 'GET / HTTP/1.1\r\nHost: good.TEST\r\n\r\n')).replies[0]?.status).toBe(200)
    expect(on.world.sent).toMatchObject([{ head: { host: 'good.test' } }])
  })

  it('in many small records gets its certificate', async () => {
    await using on = await stage()
    const { bytes } = await exchange(
      await openTcp({ port: on.ports.https }),
      buildClientHello({ names: ['good.test'], recordSize: 40 }),
      { until: (received) => received.length > 5 },
    )
    expect(bytes[0]).toBe(22)
  })

  it('for a denied name is answered with a 403 that says so, and reaches nobody', async () => {
    await using on = await stage()
    const { replies } = await say(await open(on, 'https', 'evil.test'), 'GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n')
    expect([replies[0]?.status, codeIn(replies[0])]).toEqual([403, 'host_denied'])
    expect(on.world.sent).toEqual([])
  })

  it.each([
    ['12', 'TLSv1.2'],
    ['13', 'TLSv1.3'],
  ] as const)('may speak TLS 1.%s', async (_name, version) => {
    await using on = await stage()
    const socket = connectTls({
      host: '127.0.0.1',
      port: on.ports.https,
      servername: 'good.test',
      ca: authority.certPem,
      minVersion: version,
      maxVersion: version,
    })
    expect((await say(socket, 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n')).replies[0]?.status).toBe(200)
  })

  it.each([
    ['an older TLS', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, undefined],
    ['a protocol we do not speak', { ALPNProtocols: ['acme-tls/1'] }, 'no_common_protocol'],
    ['h2c', { ALPNProtocols: ['h2c'] }, 'no_common_protocol'],
  ] as const)('that fails in the handshake for %s is recorded once', async (_name, options, reason) => {
    await using on = await stage()
    const { ALPNProtocols, ...rest } = options as { ALPNProtocols?: readonly string[] }
    const socket = connectTls({
      host: '127.0.0.1',
      port: on.ports.https,
      servername: 'good.test',
      ...rest,
      ...(ALPNProtocols ? { ALPNProtocols: [...ALPNProtocols], ca: authority.certPem } : {}),
    })
    socket.on('error', () => {})
    const records = await on.records(1)
    await until(() => socket.destroyed)
    expect(records).toMatchObject([{ type: 'tls', code: 'tls_handshake', host: 'good.test', ...(reason ? { reason } : {}) }])
    expect(records).toHaveLength(1)
  })

  it('whose client does not trust us, and says so only by closing, is recorded as one that left', async () => {
    await using on = await stage()
    const socket = connectTls({ host: '127.0.0.1', port: on.ports.https, servername: 'good.test' })
    socket.on('error', () => {})
    await until(() => socket.destroyed)
    expect(await on.records(1)).toMatchObject([{ type: 'tls', code: 'client_closed', reason: expect.stringContaining('trust') }])
    expect(on.world.records).toHaveLength(1)
  })

  it('that goes away in the handshake is recorded once, and not as a denial', async () => {
    await using on = await stage()
    const socket = await openTcp({ port: on.ports.https })
    socket.write(buildClientHello({ names: ['good.test'] }))
    socket.once('data', () => socket.resetAndDestroy())
    expect(await on.records(1)).toMatchObject([{ type: 'tls', verdict: 'allow', code: 'client_closed', host: 'good.test' }])
  })

  it('that goes away in its ClientHello is no denial, and one that says nothing has no record', async () => {
    await using on = await stage()
    ;(await openTcp({ port: on.ports.https })).end()
    ;(await openTcp({ port: on.ports.https })).end(buildClientHello({ names: ['good.test'] }).subarray(0, 30))
    expect(await on.records(1)).toMatchObject([{ type: 'tls', verdict: 'allow', code: 'client_closed' }])
    expect(on.world.records).toHaveLength(1)
  })
})

describe('names that no rule allows', () => {
  it('are closed once an agent has asked for too many, and then recorded as a flood', async () => {
    await using on = await stage({ leaves: { deniedPerAgent: { burst: 3, perSecond: 0.001 } } })
    const seen: string[] = []
    for (let i = 0; i < 5; i += 1) {
      const { bytes } = await exchange(
        await openTcp({ port: on.ports.https }),
        buildClientHello({ names: [`n${i}.evil.test`] }),
        { until: (received) => received.length > 5 },
      )
      seen.push(bytes.length > 0 ? 'greeted' : 'closed')
    }
    expect(seen).toEqual(['greeted', 'greeted', 'greeted', 'closed', 'closed'])
    await until(() => on.world.records.filter(({ code }) => code === 'tls_denied_flood').length === 2)
    const socket = await open(on, 'https')
    expect((await say(socket, 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n')).replies[0]?.status).toBe(200)
  })
})

describe('when no certificate can be made', () => {
  it('the connection is closed and never passed through', async () => {
    await using on = await stage({
      wrap: (leaves) => ({
        ...leaves,
        contextFor: () => {
          throw new Error('no key')
        },
      }),
    })
    const { bytes } = await exchange(await openTcp({ port: on.ports.https }), buildClientHello({ names: ['good.test'] }))
    expect(bytes).toHaveLength(0)
    expect(on.world.records).toMatchObject([{ code: 'internal', host: 'good.test' }])
  })

  it('the handshake fails, and is recorded once', async () => {
    await using on = await stage({ wrap: (leaves) => ({ ...leaves, contextFor: () => createSecureContext() }) })
    await exchange(await openTcp({ port: on.ports.https }), buildClientHello({ names: ['good.test'] }))
    expect(await on.records(1)).toMatchObject([{ code: 'tls_handshake' }])
    expect(on.world.records).toHaveLength(1)
  })
})

describe('a name that is not looked into', () => {
  it('is passed through unopened, with a record at each end', async () => {
    await using on = await stage()
    const leaf = testAuthority().leaf('pinned.test')
    await using far = await startRawUpstream({ certificate: leaf }, async (line) => {
      await line.read((received) => received.includes('ping'))
      line.write('pong')
    })
    on.connect = async () => openTcp({ port: far.port })
    const socket = await openTls({ port: on.ports.https, servername: 'pinned.test', ca: testAuthority().certPem })
    const { bytes } = await exchange(socket, 'ping', { until: (received) => received.includes('pong') })
    expect(bytes.toString()).toBe('pong')
    socket.destroy()
    const [opened, shut] = await on.records(2)
    expect([opened?.event, shut?.event, shut?.host, shut?.rule]).toEqual(['open', 'close', 'pinned.test', 'pinned'])
    expect(shut?.bytesUp).toBeGreaterThan(100)
    expect(shut?.upstream).toBe(`127.0.0.1:${far.port}`)
    expect(on.world.live.size).toBe(0)
  })

  it('is closed when it cannot be reached', async () => {
    await using on = await stage()
    const { bytes } = await exchange(await openTcp({ port: on.ports.https }), buildClientHello({ names: ['pinned.test'] }))
    expect(bytes).toHaveLength(0)
    expect(await on.records(2)).toMatchObject([{ event: 'open' }, { event: 'close', verdict: 'error', code: 'internal' }])
  })

  it('is cut when the policy changes', async () => {
    await using on = await stage()
    await using far = await startRawUpstream(
      { certificate: testAuthority().leaf('pinned.test') },
      async (line) => void (await line.read()),
    )
    on.connect = async () => openTcp({ port: far.port })
    await openTls({ port: on.ports.https, servername: 'pinned.test', ca: testAuthority().certPem })
    await until(() => on.world.live.size === 1 && far.wires.length === 1)
    const { snapshotOf } = await import('../kit/policy.ts')
    on.world.live.redecide(on.world.live.present(), await snapshotOf('rules: [{id: other, hosts: [other.test]}]'))
    expect(await on.records(2)).toMatchObject([{ event: 'open' }, { event: 'close', code: 'policy_changed' }])
  })
})

describe('a TLS session', () => {
  /** A full look at one connection: whether it resumed `session`, under which name it was shown a leaf, and its own session. */
  async function shake(port: number, name: string, version: SecureVersion, session?: Buffer) {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      servername: name,
      ca: authority.certPem,
      minVersion: version,
      maxVersion: version,
      ...(session && { session }),
    })
    let ticket: Buffer | undefined
    socket.on('session', (given: Buffer) => (ticket = given))
    await once(socket, 'secureConnect')
    await until(() => ticket !== undefined || socket.isSessionReused())
    const { replies } = await say(socket, `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
    const names = socket.getPeerX509Certificate()?.subjectAltName
    return { reused: socket.isSessionReused(), names, ticket, status: replies[0]?.status }
  }

  /** The session with another name in it: OpenSSL’s client offers a session under the name in it alone, others do not look. */
  function renamed(session: Buffer | undefined, from: string, to: string): Buffer {
    const at = session?.indexOf(from) ?? -1
    if (!session || at < 0 || from.length !== to.length) throw new Error('the name stands in no session of this length')
    const changed = Buffer.from(session)
    changed.write(to, at, 'latin1')
    return changed
  }

  const versions: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3']

  it.each(versions)('of %s resumes under its name, and under no other', async (version) => {
    await using on = await stage({ text: 'rules: [{id: all, hosts: [good.test, food.test, "*.bc.test", g--d.test]}]' })
    const { https } = on.ports
    const { ticket } = await shake(https, 'good.test', version)
    expect(await shake(https, 'good.test', version, ticket)).toMatchObject({ reused: true, status: 200 })
    for (const name of ['food.test', 'a.bc.test', 'g--d.test', 'evil.test']) {
      const under = await shake(https, name, version, renamed(ticket, 'good.test', name))
      expect(under).toMatchObject({ reused: false, names: `DNS:${name}`, status: name === 'evil.test' ? 403 : 200 })
    }
  })

  it.each(versions)('of %s begun with a denied name resumes under no allowed one', async (version) => {
    await using on = await stage()
    const { ticket } = await shake(on.ports.https, 'evil.test', version)
    const session = renamed(ticket, 'evil.test', 'good.test')
    expect(await shake(on.ports.https, 'good.test', version, session)).toMatchObject({ reused: false, status: 200 })
    expect(await shake(on.ports.https, 'evil.test', version, ticket)).toMatchObject({ reused: true, status: 403 })
  })

  it.each(versions)('of %s goes on with another thread that has the same keys, under its name alone', async (version) => {
    const leaves = { ticketKeys: randomBytes(48) }
    const text = 'rules: [{id: all, hosts: [good.test, food.test]}]'
    await using one = await stage({ text, leaves })
    await using two = await stage({ text, leaves })
    await using stranger = await stage()
    const { ticket } = await shake(one.ports.https, 'good.test', version)
    expect(await shake(two.ports.https, 'good.test', version, ticket)).toMatchObject({ reused: true })
    const session = renamed(ticket, 'good.test', 'food.test')
    expect(await shake(two.ports.https, 'food.test', version, session)).toMatchObject({ reused: false, status: 200 })
    expect(await shake(stranger.ports.https, 'good.test', version, ticket)).toMatchObject({ reused: false })
  })
})
