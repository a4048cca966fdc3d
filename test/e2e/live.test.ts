import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild, type Child } from '../kit/child.ts'
import { curl } from '../kit/clients.ts'
import { throughDoor } from '../kit/doors.ts'
import { startLoad, type Load } from '../kit/load.ts'
import { openTls } from '../kit/raw.ts'
import { streamCurl, type StreamCurl } from '../kit/stream-curl.ts'
import { headerOf, startUpstream, type Upstream } from '../kit/upstream.ts'
import { openWebSocket } from '../kit/websocket.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const stub = 'proxy-token-service'
const base = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  service: {kind: bearer, stub: ${stub}, secret: {file: secrets/service}, hosts: [one.test]}
rules:
  - {id: service, hosts: [one.test], credentials: [service]}
`
const long = `
  - {id: long, hosts: [long.test]}
  - {id: pinned, hosts: [pinned.test], inspect: false}
`

const stack = new AsyncDisposableStack()
let files: Workspace
let upstream: Upstream
let child: Child

/** A rule that lets `name` be reached, so that its effect can be seen. */
function plus(name: string): string {
  return `${base}  - {id: ${name}, hosts: [extra.test], paths: [/${name}]}\n`
}

beforeAll(async () => {
  const hosts = ['one.test', 'long.test', 'pinned.test', 'extra.test'] as const
  files = stack.use(await makeWorkspace(base, ['service']))
  upstream = stack.use(await startUpstream({ certificate: testAuthority().leaf(...hosts), protocol: 'h1' }))
  child = stack.use(await startChild({ files, hosts: Object.fromEntries(hosts.map((host) => [host, upstream.port])) }))
})

beforeEach(async () => {
  await files.writePolicy(base)
  await reload()
})

afterAll(async () => {
  await stack.disposeAsync()
})

async function reload(): Promise<{ readonly status: number; readonly text: string }> {
  const reply = await fetch(`http://127.0.0.1:${child.ports.admin}/v1/reload`, { method: 'POST' })
  return { status: reply.status, text: await reply.text() }
}

async function metric(name: string): Promise<string | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${child.ports.metrics}/metrics`)).text()
  return new RegExp(`^ironproxy_${name} (.*)$`, 'm').exec(text)?.[1]
}

async function status(url: string): Promise<number> {
  const { curl: settings, env } = throughDoor('transparent', child.ports, files.caFile)
  const done = await curl([...settings(url), '-o', '/dev/null', '-w', '%{http_code}', url], { env })
  return Number(done.stdout)
}

function load(headers: Readonly<Record<string, string>> = {}): Load {
  return startLoad({ port: child.ports.https, host: 'one.test', ca: files.ca, concurrency: 32, rest: 20, headers })
}

function openStream(host: string): StreamCurl {
  const url = `https://${host}/sse/100000/100`
  const { curl: settings, env } = throughDoor('connect', child.ports, files.caFile)
  return streamCurl([...settings(url), url], env)
}

test('edits under load take effect within two seconds and break neither a request nor an open stream', async () => {
  using events = openStream('one.test')
  await using requests = load()
  for (const name of ['first', 'second', 'third', 'fourth']) {
    expect(await status(`https://extra.test/${name}`)).toBe(403)
    await files.writePolicy(plus(name))
    expect(await within(async () => (await status(`https://extra.test/${name}`)) === 200)).toBeLessThan(2000)
  }
  await within(() => requests.done >= 2000)
  await requests.stop()
  expect(requests.done).toBeGreaterThanOrEqual(2000)
  expect(requests.broken).toEqual([])
  // It outlived the last edit by more than the time after which long streams are decided again.
  await sleep(3500)
  const sequence = Number(/.*"sequence":(\d+)/s.exec(events.text)?.[1])
  expect(await events.until(`"sequence":${sequence + 5},`)).toBe(true)
})

test('a broken edit changes nothing, and is told with its file, line and column wherever an operator looks', async () => {
  await files.writePolicy(plus('good'))
  await reload()
  expect(await metric('config_last_reload_successful')).toBe('1')
  const said = child.stderr.length
  await files.writePolicy(`${base}  - {id: broken, hosts: ["*.com"]}\n`)
  expect(await within(async () => (await metric('config_last_reload_successful')) === '0')).toBeLessThan(2000)
  const place = /policy\.yaml:10:\d+ rules\[1\]\.hosts/
  expect(child.stderr.slice(said)).toMatch(place)
  const told = await reload()
  expect(told.status).toBe(422)
  expect(told.text).toMatch(place)
  expect([await status('https://one.test/json'), await status('https://extra.test/good')]).toEqual([200, 200])
})

test('a rule that goes takes the streams with it that it allowed: SSE, WebSocket and spliced tunnel', async () => {
  await files.writePolicy(base + long)
  await reload()
  using events = openStream('long.test')
  expect(await events.until('"sequence":1')).toBe(true)
  const tls = { port: child.ports.https, ca: files.ca, alpn: ['http/1.1'] }
  using socket = await openWebSocket(await openTls({ ...tls, servername: 'long.test' }), { host: 'long.test' })
  socket.send('hello')
  expect(await socket.next()).toBe('hello')
  await using pinned = await openTls({ ...tls, servername: 'pinned.test', ca: testAuthority().certPem })

  await files.writePolicy(base)
  expect(await within(() => !events.running && socket.closed && pinned.destroyed)).toBeLessThan(5000)
  expect(await events.ended).not.toBe(0)
  const cut = () =>
    files
      .auditRecords()
      .filter(({ code }) => code === 'policy_changed')
      .map(({ type }) => type)
  await within(() => cut().length >= 3)
  expect(cut().toSorted()).toEqual(['request', 'tunnel', 'upgrade'])
})

test('a secret that is replaced is used within two seconds, and no request fails meanwhile', async () => {
  await using requests = load({ authorization: `Bearer ${stub}` })
  await within(() => requests.done > 200)
  const next = await files.renewSecret('service')
  const inUse = () => headerOf(upstream.requests.at(-1)?.rawHeaders ?? [], 'authorization') === `Bearer ${next}`
  expect(await within(inUse)).toBeLessThan(2000)
  const done = requests.done
  await within(() => requests.done > done + 500)
  await requests.stop()
  expect(requests.broken).toEqual([])
  const since = upstream.requests.slice(-300).map(({ rawHeaders }) => headerOf(rawHeaders, 'authorization'))
  expect(new Set(since)).toEqual(new Set([`Bearer ${next}`]))
})

test('SIGHUP and the admin listener load at once', async () => {
  await files.writePolicy(plus('asked'))
  expect(await reload()).toMatchObject({ status: 200 })
  expect(await status('https://extra.test/asked')).toBe(200)
  const said = child.stderr.length
  await files.writePolicy(plus('signalled'))
  child.kill('SIGHUP')
  expect(await within(() => child.stderr.slice(said).includes('"trigger":"signal"'))).toBeLessThan(1000)
  expect(await status('https://extra.test/signalled')).toBe(200)
})

test('a ConfigMap that Kubernetes swaps behind its ..data link takes effect within two seconds', async () => {
  const policies = join(files.folder, 'volume')
  const version = async (name: string, yaml: string) => {
    await mkdir(join(policies, `..${name}`, 'secrets'), { recursive: true })
    await writeFile(join(policies, `..${name}`, 'policy.yaml'), yaml)
    await writeFile(join(policies, `..${name}`, 'secrets', 'service'), files.secrets['service'] ?? '')
    await symlink(`..${name}`, join(policies, '..data_tmp'))
    await rename(join(policies, '..data_tmp'), join(policies, '..data'))
  }
  await version('one', base)
  for (const name of ['policy.yaml', 'secrets']) await symlink(join('..data', name), join(policies, name))
  await using other = await startChild({ files: { ...files, policies }, hosts: { 'extra.test': upstream.port } })
  const url = 'https://extra.test/swapped'
  const { curl: settings, env } = throughDoor('transparent', other.ports, files.caFile)
  const answers = async () =>
    Number((await curl([...settings(url), '-o', '/dev/null', '-w', '%{http_code}', url], { env })).stdout)
  expect(await answers()).toBe(403)
  for (const name of ['two', 'three']) {
    const wanted = name === 'two' ? 200 : 403
    await version(name, name === 'two' ? plus('swapped') : base)
    expect(await within(async () => (await answers()) === wanted)).toBeLessThan(2000)
  }
})
