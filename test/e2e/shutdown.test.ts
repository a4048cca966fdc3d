import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { startChild, type Child } from '../kit/child.ts'
import { run } from '../kit/clients.ts'
import { throughDoor } from '../kit/doors.ts'
import { listen } from '../kit/listen.ts'
import { openTls } from '../kit/raw.ts'
import { repliesOf } from '../kit/reply.ts'
import { streamCurl, type StreamCurl } from '../kit/stream-curl.ts'
import { startUpstream, type Upstream } from '../kit/upstream.ts'
import { wire } from '../kit/wire.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
rules:
  - {id: one, hosts: [one.test]}
`

let stack: AsyncDisposableStack
let files: Workspace
let upstream: Upstream

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  files = stack.use(await makeWorkspace(policy, []))
  upstream = stack.use(await startUpstream({ certificate: testAuthority().leaf('one.test'), protocol: 'h1' }))
})

afterEach(async () => {
  await stack.disposeAsync()
})

async function start(shutdown: { readonly lameDuck: number; readonly deadline: number }): Promise<Child> {
  return stack.use(await startChild({ files, hosts: { 'one.test': upstream.port }, settings: { shutdown } }))
}

function openStream(child: Child, path: string): StreamCurl {
  const { curl, env } = throughDoor('transparent', { ...child.ports, redirect: 0 }, files.caFile)
  const url = `https://one.test${path}`
  return streamCurl([...curl(url), url], env)
}

/**
 * One request on a connection of its own: `refused` when nobody takes it any more. That may be the kernel's reset of a
 * connection that nobody came to accept; one that we took and then closed in its handshake is in the audit.
 */
async function ask(child: Child, path: string): Promise<'answered' | 'refused' | 'failed'> {
  const opening = openTls({ port: child.ports.https, servername: 'one.test', ca: files.ca, alpn: ['http/1.1'] })
  const connected = await opening.catch(() => undefined)
  if (!connected) return 'refused'
  await using connection = connected
  const line = wire(connection)
  line.write(`GET ${path} HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\nX-Run-Id: ${randomUUID()}\r\n\r\n`)
  const { bytes } = await line.read(repliesOf(1))
  return repliesOf(1)(bytes) && bytes.includes('HTTP/1.1 200 ') ? 'answered' : 'failed'
}

async function readiness(child: Child): Promise<number> {
  return (await fetch(`http://127.0.0.1:${child.ports.metrics}/readyz`)).status
}

test('SIGTERM under load: not ready at once, no short request fails, a stream is cut at the deadline, all is audited', async () => {
  const child = await start({ lameDuck: 1, deadline: 3 })
  using events = openStream(child, '/sse/100000/100')
  expect(await events.until('"sequence":1')).toBe(true)
  expect(await readiness(child)).toBe(200)

  const results: Awaited<ReturnType<typeof ask>>[] = []
  const work = async (path: string) => {
    for (let result; result !== 'refused';) {
      result = await ask(child, path)
      results.push(result)
    }
  }
  const workers = Promise.all(Array.from({ length: 12 }, (_, i) => work(i % 2 ? '/json' : '/slow/200')))
  await sleep(500)
  const began = performance.now()
  child.kill('SIGTERM')
  await sleep(50)
  expect(await readiness(child)).toBe(503)

  await workers
  // New connections are taken as long as those who route to us may not have noticed.
  expect(performance.now() - began).toBeGreaterThan(900)
  expect(results.filter((result) => result === 'failed')).toEqual([])
  expect(events.running).toBe(true)
  expect(await child.exited).toBe(0)
  const stopped = performance.now() - began
  expect(stopped).toBeGreaterThan(3900)
  expect(stopped).toBeLessThan(6000)
  // curl's own words for a body without its end.
  expect(await events.ended).toBe(18)

  expect(files.auditRecords().filter(({ type }) => type === 'tls')).toEqual([])
  const records = files.auditRecords().filter(({ type }) => type === 'request')
  const answered = results.filter((result) => result === 'answered').length
  expect(records.filter(({ code, path }) => code === undefined && path !== '/sse/100000/100')).toHaveLength(answered)
  expect(records.filter(({ code }) => code === 'shutting_down').map(({ path }) => path)).toEqual(['/sse/100000/100'])
  expect(upstream.requests).toHaveLength(answered + 1)
})

test('without a stream to wait for, SIGTERM under load still fails no request, and does not wait for the deadline', async () => {
  const child = await start({ lameDuck: 0, deadline: 30 })
  const results: Awaited<ReturnType<typeof ask>>[] = []
  const work = async (path: string) => {
    for (let result; result !== 'refused';) {
      result = await ask(child, path)
      results.push(result)
    }
  }
  const workers = Promise.all(Array.from({ length: 12 }, (_, i) => work(i % 2 ? '/json' : '/slow/200')))
  await sleep(500)
  const began = performance.now()
  child.kill('SIGTERM')
  await workers
  expect(results.filter((result) => result === 'failed')).toEqual([])
  expect(await child.exited).toBe(0)
  expect(files.auditRecords().filter(({ type }) => type === 'tls')).toEqual([])
  expect(performance.now() - began).toBeLessThan(5000)
})

test('a stream that ends before the deadline ends whole', async () => {
  const child = await start({ lameDuck: 0, deadline: 30 })
  using events = openStream(child, '/sse/20/100')
  expect(await events.until('"sequence":1')).toBe(true)
  child.kill('SIGTERM')
  expect(await events.ended).toBe(0)
  expect(events.text).toContain('"sequence":19')
  expect(await child.exited).toBe(0)
})

test('a second signal does not wait', async () => {
  const child = await start({ lameDuck: 30, deadline: 30 })
  using events = openStream(child, '/sse/100000/100')
  expect(await events.until('"sequence":1')).toBe(true)
  child.kill('SIGTERM')
  await sleep(200)
  const began = performance.now()
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(5000)
})

test('a port that is taken ends the start with 77 and what to do', async () => {
  const other = createServer()
  stack.defer(() => void other.close())
  const taken = await listen(other)
  const child = stack.use(await startChild({ files, hosts: {}, settings: { listen: { https: taken } } }))
  expect(child.started).toBe(false)
  expect(await child.exited).toBe(77)
  expect(child.stderr).toContain(`cannot listen on 127.0.0.1:${taken} (EADDRINUSE): another process has it`)
})

test('a policy with errors ends the start with 78 and the place of each', async () => {
  await files.writePolicy(`${policy}  - {id: two, hosts: ["*.com"]}\n  - {id: one, hosts: [a.test], wrong: 1}\n`)
  const child = stack.use(await startChild({ files, hosts: {} }))
  expect(await child.exited).toBe(78)
  expect(child.stderr).toMatch(/policy\.yaml:8:\d+ rules\[1\]\.hosts/)
  expect(child.stderr).toMatch(/policy\.yaml:9:\d+ rules\[2\]/)
})

test.each([
  ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
  ['SSLKEYLOGFILE', 'keys.log'],
  ['NODE_OPTIONS', '--tls-min-v1.2 --tls-keylog=keys.log'],
])('an environment with %s=%s ends the start with 78', async (name, value) => {
  const child = stack.use(await startChild({ files, hosts: {}, env: { [name]: value } }))
  expect(await child.exited).toBe(78)
  expect(child.stderr).toContain(`refusing to start with ${name}`)
})

const oldNode = await findOldNode()

/** A Node under 24 beside the one of the tests, as many machines have one. */
async function findOldNode(): Promise<string | undefined> {
  for (const path of ['/usr/bin/node', '/usr/local/bin/node', '/opt/node/bin/node']) {
    if (!existsSync(path)) continue
    const major = Number((await run(path, ['-p', 'process.versions.node'])).stdout.split('.')[0])
    if (major < 24) return path
  }
  return undefined
}

test.skipIf(!oldNode)('a Node that is too old ends the start with 78 and one line (skipped when there is none)', async () => {
  const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
  const done = await run(oldNode ?? '', [bin, 'run'])
  expect(done).toMatchObject({ code: 78, stdout: '' })
  expect(done.stderr).toMatch(/^iron-proxy needs Node 24 or newer; this is v\d+\.[^\n]*\n$/)
})
