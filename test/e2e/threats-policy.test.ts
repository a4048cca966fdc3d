/** The threat list, part I: policy and CA. A broken edit opens nothing, and what is taken away is gone at once. */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '#ca/authority.ts'
import { startTestApp } from '../kit/app.ts'
import { parseReplies } from '../kit/reply.ts'
import { headerOf } from '../kit/upstream.ts'
import { contains, wire } from '../kit/wire.ts'
import { makeWorkspace } from '../kit/workspace.ts'
import { policyOf, startRig, stub, type Rig } from './threat-rig.ts'

let rig: Rig

beforeAll(async () => {
  rig = await startRig()
})
afterAll(() => rig[Symbol.asyncDispose]())

const get = (host: string, target = '/json', more = ''): string => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`

describe('a policy that cannot be read leaves the last good one in force', () => {
  const open = policyOf().replace('hosts: [other.test, "*.zone.test"]', 'hosts: [other.test, evil.test]')
  const lines = (more: string): string => `${open}\n${more}\n`
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...'bcdefghi'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(', ')}]`),
  ].join('\n')

  test.each<[string, string | Buffer]>([
    ['a syntax error', lines('rules: [')],
    ['half a file', open.slice(0, open.indexOf('hosts: [other'))],
    ['nothing', ''],
    ['only a comment', '# nothing\n'],
    ['an unknown key', lines('surprise: 1')],
    ['a wrong type', open.replace('rules:\n', 'rules: {}\nx:\n')],
    ['a version that is none', open.replace('version: 1', 'version: 99')],
    ['a key twice', lines('version: 1')],
    ['an alias bomb', `${open}\n${bomb}\n`],
    ['five thousand levels', `${open}\nx: ${'['.repeat(5000)}${']'.repeat(5000)}\n`],
    ['a merge key', lines('<<: {rules: []}')],
    ['a tag', lines('x: !!omap [a: 1]')],
    ['a tag of a program', lines('x: !!js/function "function(){}"')],
    ['a key named __proto__', lines('__proto__: {rules: []}')],
    ['an agent named __proto__', open.replace('agents:\n', 'agents:\n  __proto__: {from: [{cidr: 0.0.0.0/0}]}\n')],
    ['a document behind the first', `${open}\n---\n${open}`],
    ['a NUL byte', `${open}\n\0`],
    ['bytes that are not UTF-8', Buffer.concat([Buffer.from(open), Buffer.from([0xff, 0xfe])])],
    ['more than a mebibyte', `${open}\n#${'x'.repeat(1 << 20)}`],
    ['a rule for every host', open.replace('evil.test]', '"*"]')],
    ['a rule for a whole suffix', open.replace('evil.test]', '"*.com"]')],
    ['a URL for a host', open.replace('evil.test]', '"https://evil.test"]')],
    ['a port for a host', open.replace('evil.test]', '"evil.test:"]')],
    ['a star inside a label', open.replace('evil.test]', '"ev*.test"]')],
    [
      'a rule that names no credential',
      open.replace('credentials: [service]}\n  - {id: good', 'credentials: [nobody]}\n  - {id: good'),
    ],
    ['two rules of one name', open.replace('id: other', 'id: good')],
    ['no before a host', open.replace('hosts: [other.test, evil.test]', 'hosts: no')],
  ])('%s', async (_, text) => {
    const hash = rig.scene.app.snapshotHash()
    await writeFile(join(rig.scene.files.policies, 'policy.yaml'), text)
    const started = performance.now()
    const result = await rig.scene.app.reload('admin')
    // An attack on the parser would take minutes.
    expect(performance.now() - started).toBeLessThan(3000)
    expect({ ok: result.ok, hash: rig.scene.app.snapshotHash() }).toEqual({ ok: false, hash })
    expect(result.issues.length).toBeGreaterThan(0)
    expect(await rig.ask('/metrics')).toContain('ironproxy_config_last_reload_successful 0')
    await rig.refused(['host_denied'], () => rig.say('https', get('evil.test'), { name: 'evil.test' }))
  })

  test.each<[string, (file: string) => Promise<void>]>([
    ['a directory in its place', (file) => mkdir(file)],
    ['a link to nowhere', (file) => symlink('/nowhere/at/all', file)],
    ['a link to itself', (file) => symlink(file, file)],
    ['a pipe that nobody writes to', async (file) => void execFileSync('mkfifo', [file])],
    ['no file at all', async () => {}],
  ])('%s', async (_, put) => {
    const file = join(rig.scene.files.policies, 'policy.yaml')
    await rm(file, { recursive: true, force: true })
    await put(file)
    await rig.scene.app.reload('admin')
    expect(await rig.ask('/metrics')).toContain('ironproxy_config_last_reload_successful 0')
    await rig.refused(['host_denied'], () => rig.say('https', get('evil.test'), { name: 'evil.test' }))
    await rm(file, { recursive: true, force: true })
  })

  test('and the next good one comes into force', async () => {
    await rig.scene.files.writePolicy(policyOf({ dns: '# good again' }))
    expect((await rig.scene.app.reload('admin')).ok).toBe(true)
    expect(await rig.ask('/metrics')).toContain('ironproxy_config_last_reload_successful 1')
    await rig.watched(['allow'], () => rig.say('https', get('good.test')))
  })
})

describe('what changes while it is used', () => {
  test('a host that is taken away: the next request on the same connection is refused, and an open stream is cut', async () => {
    await rig.watched(['allow', 'host_denied', 'policy_changed'], async () => {
      const kept = wire(await rig.open('https', { name: 'other.test' }))
      kept.write(get('other.test'))
      await kept.read(contains('filler'))
      const streaming = wire(await rig.open('https', { name: 'other.test' }))
      streaming.write(get('other.test', '/sse/1000/50'))
      await streaming.read(contains('data:'))
      expect(await rig.scene.editPolicy(policyOf().replace('hosts: [other.test, ', 'hosts: ['))).toBe(true)
      kept.forget()
      kept.write(get('other.test', '/again'))
      const { bytes } = await kept.read(contains('request_id'))
      expect(parseReplies(bytes).map(({ status }) => status)).toEqual([403])
      const cut = await streaming.read(undefined, 6000)
      expect(cut.ending).not.toBe('open')
      // Without its last chunk: it cannot be taken for complete.
      expect(cut.bytes.toString().endsWith('0\r\n\r\n')).toBe(false)
      kept.socket.destroy()
    })
    expect(rig.scene.upstreams.main.requests.some(({ target }) => target === '/again')).toBe(false)
  })

  test('a new secret takes the place of the old one, for requests and for what is scrubbed', async () => {
    const before = rig.real()
    await rig.scene.files.renewSecret('service')
    await rig.scene.app.reload('admin')
    await rig.watched(['allow'], () => rig.say('https', get('good.test', '/x', `Authorization: Bearer ${stub}\r\n`)))
    const sent = headerOf(rig.scene.upstreams.main.requests.at(-1)?.rawHeaders ?? [], 'authorization')
    expect([sent === `Bearer ${rig.real()}`, sent === `Bearer ${before}`]).toEqual([true, false])
  })

  test.each<[string, string]>([
    ['empty', ''],
    ['a line break inside', 'first-part\nsecond-part'],
    ['NUL inside', 'first-part\0second-part'],
    ['gone', 'gone'],
  ])('a secret file that is %s: the last good value stays, and nothing of the new one is told', async (kind, text) => {
    const file = join(rig.scene.files.policies, 'secrets', 'service')
    await rm(file, { force: true })
    if (kind !== 'gone') await writeFile(file, text)
    await rig.scene.app.reload('admin')
    await rig.watched(['allow'], () => rig.say('https', get('good.test', '/x', `Authorization: Bearer ${stub}\r\n`)))
    expect(headerOf(rig.scene.upstreams.main.requests.at(-1)?.rawHeaders ?? [], 'authorization')).toBe(`Bearer ${rig.real()}`)
    expect(rig.scene.log.join('')).not.toMatch(/first-part|second-part/)
  })

  test('no rule at all denies all', async () => {
    expect(
      await rig.scene.editPolicy(
        `version: 1\nagents:\n  alice: {from: [{cidr: 127.0.0.1/32}]}\n  carol: {from: [{cidr: 127.0.0.8/32}]}\nrules:\n  - {id: control, hosts: [control.test]}\n`,
      ),
    ).toBe(true)
    await rig.scene.files.renewSecret('service')
    const { status, code } = await rig.say('https', get('good.test'))
    expect({ status, code }).toEqual({ status: 403, code: 'host_denied' })
    expect(await rig.scene.editPolicy('version: 1\nagents:\n  alice: {from: [{cidr: 127.0.0.1/32}]}\nrules: []\n')).toBe(true)
    for (const host of ['good.test', 'control.test', 'other.test'])
      expect((await rig.say('https', get(host), { name: host })).status).toBe(403)
    expect(await rig.scene.editPolicy('version: 1\nagents: {}\nrules: []\n')).toBe(true)
    expect((await rig.say('https', get('good.test'))).code).toBe('agent_unknown')
    expect(await rig.scene.editPolicy(policyOf())).toBe(true)
  })
})

describe('the CA and what it signs', () => {
  /** The leaf, and the intermediate that came with it. */
  const chainOf = async (name: string): Promise<readonly [X509Certificate, X509Certificate]> => {
    const socket = (await rig.open('https', { name })) as TLSSocket
    const { raw, issuerCertificate } = socket.getPeerCertificate(true)
    socket.destroy()
    return [new X509Certificate(raw), new X509Certificate(issuerCertificate.raw)]
  }
  const certificateOf = async (name: string): Promise<X509Certificate> => (await chainOf(name))[0]

  test('a leaf is for one host, for servers, for at most seven days, back-dated by at most an hour, with a random serial', async () => {
    const [one, issuer] = await chainOf('good.test')
    const other = await certificateOf('b.zone.test')
    const ca = new X509Certificate(rig.scene.files.ca)
    for (const [leaf, host] of [
      [one, 'good.test'],
      [other, 'b.zone.test'],
    ] as const) {
      expect(leaf.subjectAltName).toBe(`DNS:${host}`)
      expect(leaf.ca).toBe(false)
      expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
      expect(leaf.verify(issuer.publicKey)).toBe(true)
      expect(leaf.validToDate.getTime() - leaf.validFromDate.getTime()).toBeLessThanOrEqual(7 * 86_400_000)
      expect(Date.now() - leaf.validFromDate.getTime()).toBeLessThanOrEqual(3_600_000 + 60_000)
      expect(BigInt(`0x${leaf.serialNumber}`) > 1n << 64n).toBe(true)
      expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
    }
    expect([issuer.ca, issuer.verify(ca.publicKey)]).toEqual([true, true])
    expect(one.serialNumber).not.toBe(other.serialNumber)
  })

  test('a name that nobody may reach gets a leaf of its own name only, signed by us and by nobody agents do not trust already', async () => {
    const leaf = await certificateOf('evil.test')
    expect(leaf.subjectAltName).toBe('DNS:evil.test')
  })

  test.each<[string, (files: { certPath: string; keyPath: string }) => Promise<void>, RegExp]>([
    ['a key that others can read', ({ keyPath }) => chmod(keyPath, 0o644), /mode 0644/],
    ['a key that the group can write', ({ keyPath }) => chmod(keyPath, 0o660), /mode 0660/],
    [
      'a key of another certificate',
      async ({ keyPath }) =>
        writeFile(keyPath, createAuthority({ commonName: 'Other', days: 1, now: Date.now() }).keyPem.expose(), { mode: 0o600 }),
      /./,
    ],
    [
      'a certificate that has expired',
      async ({ certPath, keyPath }) => {
        const old = createAuthority({ commonName: 'Old', days: 1, now: Date.now() - 10 * 86_400_000 })
        await writeFile(certPath, old.certPem)
        await writeFile(keyPath, old.keyPem.expose(), { mode: 0o600 })
      },
      /expired/i,
    ],
    [
      'a certificate that is no CA',
      async ({ certPath }) => writeFile(certPath, (await certificateOf('good.test')).toString()),
      /./,
    ],
    ['a certificate that is none', ({ certPath }) => writeFile(certPath, 'nonsense'), /./],
    ['a key that is gone', ({ keyPath }) => rm(keyPath), /./],
  ])('%s: it does not start', async (_, spoil, message) => {
    await using files = await makeWorkspace(policyOf(), ['service'])
    await spoil({ certPath: files.caFile, keyPath: files.caKeyFile })
    const settings = { policies: files.policies, ca: { cert: files.caFile, key: files.caKeyFile }, audit: { stdout: false } }
    await expect(startTestApp(settings, () => {})).rejects.toThrow(message)
  })

  test.each(['rules: [', '', 'version: 1\nsurprise: 1\n'])('a first policy of %j: it does not start', async (text) => {
    await using files = await makeWorkspace(text, [])
    const settings = { policies: files.policies, ca: { cert: files.caFile, key: files.caKeyFile }, audit: { stdout: false } }
    await expect(startTestApp(settings, () => {})).rejects.toThrow('the policy has errors')
  })

  test('our own CA is not taken for a root of upstreams', async () => {
    await using files = await makeWorkspace(policyOf(), ['service'])
    const settings = {
      policies: files.policies,
      ca: { cert: files.caFile, key: files.caKeyFile },
      audit: { stdout: false },
      upstream: { ca: [files.caFile] },
    }
    await expect(startTestApp(settings, () => {})).rejects.toThrow('our own CA')
  })
})
