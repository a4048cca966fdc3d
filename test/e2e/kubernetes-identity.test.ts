/** Who has an address, before a real API server: silence, outages, what cuts idle connections, and a namespace without its Role. */
import { rm, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startControlPlane, whyNoControlPlane, type ControlPlane } from '../kit/control-plane.ts'
import { closer, listen } from '../kit/listen.ts'
import { exchange, openTcp } from '../kit/raw.ts'
import { parseReplies } from '../kit/reply.ts'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { startUpstream, type Upstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const reason = whyNoControlPlane()
const identity = join(import.meta.dirname, '../../deploy/kustomize/agents/identity.yaml')
const cleanUp = new AsyncDisposableStack()
let plane: ControlPlane

beforeAll(async () => {
  if (reason !== undefined) return
  plane = cleanUp.use(await startControlPlane())
  await plane.api('POST', '/api/v1/nodes', { metadata: { name: 'n1' } })
  for (const args of [
    ['create', 'namespace', 'iron-proxy'],
    ['-n', 'iron-proxy', 'create', 'serviceaccount', 'iron-proxy'],
  ])
    await succeeds(args)
}, 120_000)
afterAll(() => cleanUp.disposeAsync())

async function succeeds(args: readonly string[]): Promise<string> {
  const done = await plane.kubectl(args)
  if (done.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}

/** What stands between the proxy and the API. */
interface Way extends AsyncDisposable {
  readonly port: number
  /** What is open stays open, and nothing comes back on it any more. */
  silence(): void
  /** New connections are silent too. */
  dead: boolean
  /** Milliseconds without a byte after which a connection is cut; 0: never. */
  idle: number
}

async function startWay(): Promise<Way> {
  const silent = new Set<Socket>()
  const open = new Set<Socket>()
  const server = createServer((down) => {
    const up = connect(plane.port, '127.0.0.1')
    if (way.dead) silent.add(up)
    open.add(up)
    const cut = (): void => {
      open.delete(up)
      down.destroy()
      up.destroy()
    }
    for (const each of [down, up]) {
      each.on('error', cut)
      each.on('close', cut)
      if (way.idle > 0) each.setTimeout(way.idle, cut)
    }
    down.on('data', (bytes) => silent.has(up) || up.write(bytes))
    up.on('data', (bytes) => silent.has(up) || down.write(bytes))
  })
  const close = closer(server)
  const way: Way = {
    port: await listen(server),
    silence: () => open.forEach((each) => silent.add(each)),
    dead: false,
    idle: 0,
    [Symbol.asyncDispose]: close,
  }
  return way
}

interface Stage extends AsyncDisposable {
  readonly way: Way
  readonly scene: Scenario<{ plain: Upstream }>
  /** The agent that an address is served as, or the code of its refusal. */
  who(address: string): Promise<string>
}

/** A proxy whose agents `a` and `b` are pods of these namespaces. */
async function stage(namespaces: readonly string[], prepare: (way: Way) => void = () => {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack()
  const way = stack.use(await startWay())
  prepare(way)
  const folder = await mkdtemp(join(tmpdir(), 'kubernetes-'))
  stack.defer(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'token'), await succeeds(['-n', 'iron-proxy', 'create', 'token', 'iron-proxy']))
  const from = (agent: string): string =>
    namespaces.map((each) => `{pod: {namespace: ${each}, labels: {agent: ${agent}}}}`).join(', ')
  const scene = stack.use(
    await scenario({
      policy: `version: 1\nagents:\n  a: {from: [${from('a')}]}\n  b: {from: [${from('b')}]}\nrules:\n  - {id: plain, hosts: [plain.test], plain: true}\n`,
      upstreams: { plain: { hosts: ['plain.test'], start: ({ certificate }) => startUpstream({ certificate, plain: true }) } },
      settings: {
        kubernetes: 'on',
        kubernetesApi: { server: `https://127.0.0.1:${way.port}`, token: join(folder, 'token'), ca: plane.caFile },
      },
    }),
  )
  let questions = 0
  const who = async (address: string): Promise<string> => {
    const path = `/json/${(questions += 1)}-${address}`
    const socket = await openTcp({ port: scene.ports.http, from: address })
    const { bytes } = await exchange(socket, `GET ${path} HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n`)
    socket.destroy()
    const [reply] = parseReplies(bytes)
    if (reply && reply.status >= 400) return (JSON.parse(reply.body.toString()) as { error: { code: string } }).error.code
    return (await scene.audited({ path }))?.agent ?? 'nobody'
  }
  const owned = stack.move()
  return { way, scene, who, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function namespace(name: string, isListed = true): Promise<void> {
  await succeeds(['create', 'namespace', name])
  if (isListed) await succeeds(['apply', '-n', name, '-f', identity])
  // Its default ServiceAccount comes by itself, and no pod before it.
  await within(async () => (await plane.kubectl(['-n', name, 'get', 'serviceaccount', 'default'])).code === 0, 30_000)
}

async function pod(space: string, name: string, agent: string, ip: string): Promise<void> {
  const spec = { nodeName: 'n1', automountServiceAccountToken: false, containers: [{ name: 'agent', image: 'agent' }] }
  await plane.api('POST', `/api/v1/namespaces/${space}/pods`, { metadata: { name, labels: { agent } }, spec })
  const status = { phase: 'Running', hostIP: '127.9.9.9', podIP: ip, podIPs: [{ ip }] }
  await plane.api('PATCH', `/api/v1/namespaces/${space}/pods/${name}/status`, { status }, 'application/merge-patch+json')
}
const remove = (space: string, name: string) =>
  plane.api('DELETE', `/api/v1/namespaces/${space}/pods/${name}?gracePeriodSeconds=0`)

const seconds = (from: number): number => (performance.now() - from) / 1000

describe.skipIf(reason !== undefined).concurrent(`before a real API server${reason === undefined ? '' : ` (${reason})`}`, () => {
  test(
    'a pod is known within five seconds of its address, and unknown again as soon when it is gone',
    { timeout: 60_000 },
    async () => {
      await namespace('usual')
      await using it = await stage(['usual'])
      await pod('usual', 'a-0', 'a', '127.0.20.1')
      const came = await within(async () => (await it.who('127.0.20.1')) === 'a')
      await remove('usual', 'a-0')
      const went = await within(async () => (await it.who('127.0.20.1')) === 'agent_unknown')
      expect([came, went].every((each) => each !== undefined && each < 5000)).toBe(true)
    },
  )

  test(
    'a watch that goes silent gives a moved address to its new pod within 90 s, and never again to the old one',
    { timeout: 150_000 },
    async () => {
      await namespace('silent')
      await using it = await stage(['silent'])
      const ip = '127.0.20.2'
      await pod('silent', 'a-0', 'a', ip)
      await within(async () => (await it.who(ip)) === 'a')
      const began = performance.now()
      it.way.silence()
      await remove('silent', 'a-0')
      await pod('silent', 'b-0', 'b', ip)
      await within(async () => {
        await sleep(250)
        return (await it.who(ip)) !== 'a'
      }, 100_000)
      expect(seconds(began)).toBeLessThan(91)
      expect(await within(async () => (await it.who(ip)) === 'b', 30_000)).toBeDefined()
      expect(await it.scene.metrics()).toMatch(/ironproxy_kube_watch_failures_total\{reason="silent"\} [1-9]/)
    },
  )

  test(
    'while nothing comes from the API any more, an address is its agent’s for 90 s, and then pending',
    { timeout: 180_000 },
    async () => {
      await namespace('dead')
      await using it = await stage(['dead'])
      const ip = '127.0.20.3'
      await pod('dead', 'a-0', 'a', ip)
      await within(async () => (await it.who(ip)) === 'a')
      const began = performance.now()
      it.way.dead = true
      it.way.silence()
      await within(async () => {
        await sleep(250)
        return (await it.who(ip)) !== 'a'
      }, 120_000)
      expect(await it.who(ip)).toBe('agent_pending')
      // A bookmark may have come up to a minute before.
      expect(seconds(began)).toBeGreaterThan(25)
      expect(seconds(began)).toBeLessThan(92)
      expect(await it.scene.metrics()).toContain('ironproxy_identity_namespace_ready{watched_namespace="dead"} 0')
      it.way.dead = false
      expect(await within(async () => (await it.who(ip)) === 'a', 60_000)).toBeDefined()
    },
  )

  test('what cuts idle connections after 35 s leaves the proxy blind for no second', { timeout: 180_000 }, async () => {
    await namespace('cut')
    await using it = await stage(['cut'], (way) => (way.idle = 35_000))
    const ip = '127.0.20.4'
    await pod('cut', 'a-0', 'a', ip)
    await within(async () => (await it.who(ip)) === 'a')
    const answers = new Set<string>()
    for (const began = performance.now(); seconds(began) < 110; await sleep(250)) answers.add(await it.who(ip))
    expect([...answers]).toEqual(['a'])
    await remove('cut', 'a-0')
    expect(await within(async () => (await it.who(ip)) === 'agent_unknown', 2000)).toBeDefined()
  })

  test(
    'a namespace without its Role holds back no agent of another, and has its own once the Role is there',
    { timeout: 120_000 },
    async () => {
      await namespace('listed')
      await namespace('unlisted', false)
      await pod('listed', 'a-0', 'a', '127.0.20.5')
      await pod('unlisted', 'b-0', 'b', '127.0.20.6')
      await using it = await stage(['listed', 'unlisted'])
      expect(await within(async () => (await it.who('127.0.20.5')) === 'a')).toBeDefined()
      expect((await fetch(`http://127.0.0.1:${it.scene.ports.metrics}/readyz`)).status).toBe(200)
      expect(await it.who('127.0.20.6')).toBe('agent_pending')
      const metrics = await it.scene.metrics()
      expect(metrics).toContain('ironproxy_identity_namespace_ready{watched_namespace="unlisted"} 0')
      expect(metrics).toContain('ironproxy_identity_namespace_ready{watched_namespace="listed"} 1')
      await succeeds(['apply', '-n', 'unlisted', '-f', identity])
      expect(await within(async () => (await it.who('127.0.20.6')) === 'b', 40_000)).toBeDefined()
      // And a namespace that is deleted goes without harm to the other.
      await succeeds(['delete', 'namespace', 'unlisted', '--wait=false'])
      await within(async () => (await it.who('127.0.20.6')) !== 'b', 40_000)
      expect(await it.who('127.0.20.5')).toBe('a')
    },
  )
})

test('the Role that the proxy needs is in deploy/', async () => {
  expect(await readFile(identity, 'utf8')).toMatch(/verbs: \[get, list, watch\]/)
})
