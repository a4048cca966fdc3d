/** Identity from the pod: the product beside a cluster whose pods come and go. Addresses of pods are loopback ones. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startFakeKube, type FakeKube, type PodSpec } from '../kit/kube.ts'
import { exchange, openTcp, openTls } from '../kit/raw.ts'
import { parseReplies } from '../kit/reply.ts'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { headerOf, startUpstream, type Upstream } from '../kit/upstream.ts'
import { wire } from '../kit/wire.ts'
import { within } from '../kit/within.ts'

const policy = `
version: 1
agents:
  a: {from: [{pod: {namespace: agents, labels: {agent: a}}}]}
  b: {from: [{pod: {namespace: agents, labels: {agent: b}}}]}
  fixed: {from: [{cidr: 127.0.7.0/24}]}
credentials:
  of-a: {kind: bearer, stub: stub-of-a, secret: {file: secrets/a}, hosts: [good.test], agents: [a]}
rules:
  - {id: good, hosts: [good.test], credentials: [of-a]}
  - {id: plain, hosts: [plain.test], plain: true}
`

let kube: FakeKube
let scene: Scenario<{ good: Upstream; plain: Upstream }>
const cleanUp = new AsyncDisposableStack()

beforeAll(async () => {
  const token = randomBytes(16).toString('hex')
  kube = cleanUp.use(await startFakeKube(token))
  const folder = await mkdtemp(join(tmpdir(), 'kube-'))
  cleanUp.defer(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'token'), token)
  await writeFile(join(folder, 'ca.crt'), kube.ca)
  // Until the first list is through, nobody is anybody.
  kube.refuse = 503
  scene = cleanUp.use(
    await scenario({
      policy,
      secrets: ['a'],
      upstreams: {
        good: { hosts: ['good.test'], start: ({ certificate }) => startUpstream({ certificate }) },
        plain: { hosts: ['plain.test'], start: ({ certificate }) => startUpstream({ certificate, plain: true }) },
      },
      settings: {
        kubernetes: 'on',
        kubernetesApi: { server: kube.server, token: join(folder, 'token'), ca: join(folder, 'ca.crt') },
      },
    }),
  )
})
afterAll(() => cleanUp.disposeAsync())

let uids = 0
const made = new Set<string>()
/** A pod of an agent at an address, and its uid. */
function run(agent: string, ip: string, more: Partial<PodSpec> = {}): string {
  const uid = `uid-${(uids += 1)}`
  made.add(uid)
  kube.put({ uid, name: `${agent}-0`, labels: { agent }, ip, ...more })
  return uid
}
afterEach(() => {
  for (const uid of made) kube.remove(uid)
  made.clear()
})

interface Told {
  readonly status: number
  readonly code: string | undefined
  readonly agent: string | undefined
  readonly message: string | undefined
}

let questions = 0
/** What an address is told at the plain door, and as whom it was heard. */
async function ask(from: string): Promise<Told> {
  const path = `/json/${(questions += 1)}`
  const socket = await openTcp({ port: scene.ports.http, from })
  const read = await exchange(socket, `GET ${path} HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n`)
  socket.destroy()
  const [reply] = parseReplies(read.bytes)
  const error = reply && reply.status >= 400 ? (JSON.parse(reply.body.toString()) as { error: Record<string, string> }).error : {}
  const record = await scene.audited({ path })
  return { status: reply?.status ?? 0, code: error['code'], agent: record?.agent ?? undefined, message: error['message'] }
}

const becomes = async (from: string, expected: Partial<Told>): Promise<Told> => {
  let told = await ask(from)
  await within(async () => {
    told = await ask(from)
    return Object.entries(expected).every(([key, value]) => told[key as keyof Told] === value)
  })
  return told
}

const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${scene.ports.metrics}/readyz`)).status

test('before the first list nobody is a pod and the proxy is not ready; after it both', async () => {
  expect(await ready()).toBe(503)
  expect(await ask('127.0.8.1')).toMatchObject({ status: 503, code: 'agent_pending' })
  expect(await ask('127.0.7.1')).toMatchObject({ status: 200, agent: 'fixed' })
  run('a', '127.0.8.1')
  kube.refuse = 0
  expect(await becomes('127.0.8.1', { status: 200 })).toMatchObject({ status: 200, agent: 'a' })
  expect(await ready()).toBe(200)
})

test('a pod comes, changes its labels, and goes', async () => {
  const ip = '127.0.8.2'
  expect(await ask(ip)).toMatchObject({ status: 403, code: 'agent_unknown' })
  const uid = run('a', ip)
  expect(await becomes(ip, { status: 200 })).toMatchObject({ agent: 'a' })
  kube.put({ uid, labels: { agent: 'b' }, ip })
  expect(await becomes(ip, { agent: 'b' })).toMatchObject({ status: 200, agent: 'b' })
  kube.put({ uid, labels: {}, ip })
  const unlabelled = await becomes(ip, { code: 'agent_unknown' })
  expect(unlabelled.message).toMatch(/no agent selects the pod agents\/uid-\d+/)
  kube.remove(uid)
  expect((await becomes(ip, { message: `no agent has the address ${ip}, and no watched pod` })).message).toMatch(/no watched pod/)
})

test('an address handed from A to B is never served as A, and what A left open is closed', async () => {
  const ip = '127.0.8.3'
  for (let round = 0; round < 5; round += 1) {
    const a = run('a', ip)
    await becomes(ip, { agent: 'a' })
    const line = wire(await openTls({ port: scene.ports.https, from: ip, servername: 'good.test', ca: scene.files.ca }))
    line.write(`GET /kept/${round} HTTP/1.1\r\nHost: good.test\r\nAuthorization: Bearer stub-of-a\r\n\r\n`)
    await line.read((received) => received.includes('\r\n\r\n'))
    const request = scene.upstreams.good.requests.findLast(
      ({ rawHeaders }) => headerOf(rawHeaders, 'authorization') !== undefined,
    )
    expect(headerOf(request?.rawHeaders ?? [], 'authorization')).toBe(`Bearer ${scene.files.secrets['a']}`)
    kube.remove(a)
    const b = run('b', ip)
    expect((await line.read(() => false)).ending).not.toBe('open')
    await scene.audited({ path: `/kept/${round}` })
    const handed = scene.audit.length
    expect(await becomes(ip, { agent: 'b' })).toMatchObject({ status: 200 })
    expect(scene.audit.slice(handed).filter(({ peer, agent }) => peer === ip && agent === 'a')).toEqual([])
    kube.remove(b)
    await becomes(ip, { status: 403 })
  }
})

test('a stream of a pod that is gone ends', async () => {
  const ip = '127.0.8.4'
  const uid = run('a', ip)
  await becomes(ip, { agent: 'a' })
  const socket = await openTcp({ port: scene.ports.http, from: ip })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.resume()
  socket.write('GET /sse/1000/50 HTTP/1.1\r\nHost: plain.test\r\n\r\n')
  await within(() => socket.bytesRead > 100)
  kube.remove(uid)
  await closed
  expect(await scene.audited({ peer: ip, code: 'client_closed' })).toBeDefined()
})

test('two pods at one address, a node’s address and a pod on its node’s network are refused, each with its reason', async () => {
  const one = run('a', '127.0.8.5')
  const two = run('b', '127.0.8.5', { name: 'b-1' })
  expect(await becomes('127.0.8.5', { code: 'agent_ambiguous' })).toMatchObject({ status: 403, code: 'agent_ambiguous' })
  kube.remove(one)
  expect(await becomes('127.0.8.5', { status: 200 })).toMatchObject({ agent: 'b' })
  kube.remove(two)
  // The node is in the range of an agent, and yet it is nobody.
  run('a', '127.0.8.6', { hostIP: '127.0.7.9' })
  expect(await becomes('127.0.7.9', { code: 'agent_masqueraded' })).toMatchObject({ status: 403 })
  run('a', '127.0.7.10', { hostNetwork: true, hostIP: '127.0.7.10' })
  expect((await becomes('127.0.7.10', { code: 'agent_masqueraded' })).message).toMatch(/network of its node/)
})

test('while the API is away what is known stays, and the metrics say since when', async () => {
  const ip = '127.0.8.7'
  const uid = run('a', ip)
  await becomes(ip, { agent: 'a' })
  kube.refuse = 503
  kube.disconnect(true)
  await within(async () => (await scene.metrics()).includes('ironproxy_kube_watch_failures_total{reason="503"}'))
  expect(await ask(ip)).toMatchObject({ status: 200, agent: 'a' })
  expect(await ready()).toBe(200)
  kube.remove(uid, true)
  kube.compact()
  kube.refuse = 0
  expect(await becomes(ip, { code: 'agent_unknown' })).toMatchObject({ status: 403 })
  const metrics = await scene.metrics()
  expect(metrics).toMatch(/ironproxy_kube_watch_last_sync_timestamp_seconds\{watched_namespace="agents"\} [1-9]/)
  expect(metrics).toMatch(/ironproxy_identity_pods\{watched_namespace="agents"\} 0/)
  for (const result of ['pod', 'nobody', 'node', 'several', 'pending'])
    expect(metrics).toMatch(new RegExp(`ironproxy_identity_lookups_total\\{result="${result}"\\} [1-9]`))
})

test('a policy that names another namespace has it watched, and one that names it no more forgets it', async () => {
  const ip = '127.0.8.8'
  kube.put({ uid: 'other', namespace: 'other', labels: { agent: 'a' }, ip })
  expect(await ask(ip)).toMatchObject({ code: 'agent_unknown' })
  await scene.editPolicy(policy.replace('  a: {from: [', '  a: {from: [{pod: {namespace: other}}, '))
  expect(await becomes(ip, { agent: 'a' })).toMatchObject({ status: 200 })
  await scene.editPolicy(policy)
  expect(await becomes(ip, { code: 'agent_unknown' })).toMatchObject({ status: 403 })
})

test('no token of ours is in any place one can read', async () => {
  expect(scene.log.join('')).toContain('kubernetes')
  expect(scene.log.join('')).not.toContain(kube.token)
  expect(scene.files.audit()).not.toContain(kube.token)
})
