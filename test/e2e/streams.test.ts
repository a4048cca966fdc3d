import { randomBytes } from 'node:crypto'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { forgetPeak, memoryOf, startChild, tellsMemory, type Child } from '../kit/child.ts'
import { run, type Run } from '../kit/clients.ts'
import { throughDoor, type Door } from '../kit/doors.ts'
import { openGrpc, startGrpcServer, type GrpcServer } from '../kit/grpc.ts'
import { patternSha256 } from '../kit/pattern.ts'
import { connectThroughProxy, openTls } from '../kit/raw.ts'
import { streamCurl } from '../kit/stream-curl.ts'
import { headerOf, startUpstream, type Upstream } from '../kit/upstream.ts'
import { openWebSocket } from '../kit/websocket.ts'
import { contains, wire } from '../kit/wire.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const stub = 'proxy-token-service'
const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  service: {kind: bearer, stub: ${stub}, secret: {file: secrets/service}, hosts: [one.test, two.test, grpc.test]}
rules:
  - {id: service, hosts: [one.test, two.test, grpc.test], credentials: [service]}
`
const gibibyte = 2 ** 30
const stack = new AsyncDisposableStack()
let files: Workspace
let one: Upstream
let two: Upstream
let grpc: GrpcServer
let child: Child

beforeAll(async () => {
  files = stack.use(await makeWorkspace(policy, ['service']))
  one = stack.use(await startUpstream({ certificate: testAuthority().leaf('one.test'), protocol: 'h1' }))
  two = stack.use(await startUpstream({ certificate: testAuthority().leaf('two.test'), protocol: 'h2' }))
  grpc = stack.use(await startGrpcServer({ certificate: testAuthority().leaf('grpc.test') }))
  child = stack.use(await startChild({ files, hosts: { 'one.test': one.port, 'two.test': two.port, 'grpc.test': grpc.port } }))
})

afterAll(async () => {
  await stack.disposeAsync()
})

const door = () => throughDoor('transparent', { ...child.ports, redirect: 0 }, files.caFile)

/** What curl is told for a URL; a shell can take it further. */
function curlArgs(url: string, ...args: readonly string[]): readonly string[] {
  return ['-q', '--silent', '--show-error', ...door().curl(url), ...args, url]
}

function curl(url: string, ...args: readonly string[]): Promise<Run> {
  return run('curl', curlArgs(url, ...args), { env: door().env })
}

/** How far memory rose above where it stood, in MiB, at any moment of some work. */
async function rise(work: () => Promise<void>): Promise<number> {
  const before = memoryOf(child.pid).now
  forgetPeak(child.pid)
  await work()
  return memoryOf(child.pid).peak - before
}

describe.skipIf(!tellsMemory)('memory stays flat (skipped where /proc does not tell memory)', () => {
  beforeAll(async () => {
    // The pools, buffers and machine code of a first large transfer are there to stay.
    for (const protocol of ['--http1.1', '--http2']) {
      await curl('https://one.test/download/200000000', protocol, '-o', '/dev/null')
    }
  })

  /** One whole gibibyte each way; the other ways of the same would show a leak of a tenth in a quarter of it. */
  const transfers = [
    ['1 GiB', '--http1.1', 'one.test', gibibyte],
    ['256 MiB', '--http2', 'one.test', gibibyte / 4],
    ['256 MiB', '--http2', 'two.test', gibibyte / 4],
  ] as const

  test.each(transfers)('while %s goes down, with curl %s from %s', async (_size, protocol, host, bytes) => {
    const args = curlArgs(`https://${host}/download/${bytes}`, protocol)
    const risen = await rise(async () => {
      const done = await run('sh', ['-c', 'curl "$@" | sha256sum', 'sh', ...args], { env: door().env })
      expect(done.stdout).toBe(`${patternSha256(bytes)}  -\n`)
    })
    expect(risen).toBeLessThan(120)
  })

  test.each(transfers)('while %s goes up, with curl %s to %s', async (size, protocol, host, bytes) => {
    const file = join(files.folder, size)
    // Almost all of it is a hole, which costs no disk.
    await writeFile(file, randomBytes(1000))
    await truncate(file, bytes)
    const { requests } = host === 'one.test' ? one : two
    const risen = await rise(async () => {
      const done = await curl(`https://${host}/upload`, protocol, '--upload-file', file)
      expect(JSON.parse(done.stdout).bytes).toBe(bytes)
    })
    const sum = await run('sha256sum', [file])
    expect(requests.at(-1)).toMatchObject({ state: 'complete', bodySha256: sum.stdout.slice(0, 64) })
    expect(risen).toBeLessThan(120)
  })

  test.each(['--http1.1', '--http2'])('while a reader of 400 MB stalls, with curl %s', async (protocol) => {
    const url = 'https://one.test/download/400000000'
    const risen = await rise(async () => {
      using client = streamCurl([...door().curl(url), protocol, '--dump-header', '-', url], door().env)
      expect(await client.until('\r\n\r\n')).toBe(true)
      client.pause()
      await sleep(1500)
    })
    expect(risen).toBeLessThan(50)
  })
})

test.each(['--http1.1', '--http2'])(
  'a reader that leaves in the middle of a download ends it at the host too, with curl %s',
  async (protocol) => {
    const url = 'https://one.test/download/400000000'
    const { env } = door()
    using client = streamCurl([...door().curl(url), protocol, '--dump-header', '-', '--limit-rate', '1M', url], env)
    expect(await client.until('\r\n\r\n')).toBe(true)
    const connection = one.connections[one.requests.at(-1)?.connection ?? -1]
    expect(connection?.closed).toBe(false)
    client.kill()
    await client.ended
    expect(await within(() => connection?.closed === true, 2000)).toBeDefined()
  },
)

test.each([
  ['--http1.1', 'one.test', '/truncate', [18]],
  ['--http1.1', 'one.test', '/truncate-chunked', [18]],
  ['--http1.1', 'two.test', '/truncate-chunked', [18]],
  ['--http2', 'one.test', '/truncate', [18, 92]],
  ['--http2', 'one.test', '/truncate-chunked', [18, 92]],
  ['--http2', 'two.test', '/truncate-chunked', [18, 92]],
])('curl %s sees that %s broke off %s', async (protocol, host, path, codes) => {
  const done = await curl(`https://${host}${path}`, protocol)
  // The bad news may overtake the last bytes before it.
  expect('ten bytes.'.startsWith(done.stdout)).toBe(true)
  expect(codes).toContain(done.code)
})

async function openDoor(which: Door): Promise<Awaited<ReturnType<typeof openTls>>> {
  const tls = { servername: 'one.test', ca: files.ca, alpn: ['http/1.1'] }
  if (which === 'transparent') return openTls({ port: child.ports.https, ...tls })
  return openTls({ port: 0, over: await connectThroughProxy(child.ports.proxy, 'one.test:443'), ...tls })
}

describe.each<Door>(['connect', 'transparent'])('through the %s door', (which) => {
  test('a WebSocket echoes, and its stub was exchanged', async () => {
    using client = await openWebSocket(await openDoor(which), { host: 'one.test', headers: { authorization: `Bearer ${stub}` } })
    const large = randomBytes(300_000).toString('hex')
    for (const message of ['one', large, 'three']) {
      client.send(message)
      expect(await client.next()).toBe(message)
    }
    expect(headerOf(one.requests.at(-1)?.rawHeaders ?? [], 'authorization')).toBe(`Bearer ${files.secrets['service']}`)
  })

  test('an upgrade answered 200 is a reply, and what follows it goes nowhere', async () => {
    const line = wire(await openDoor(which))
    line.write(
      'GET /ws-refused HTTP/1.1\r\nHost: one.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    const { bytes } = await line.read(contains('refused'))
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 200 /)
    line.write(`smuggled ${stub}`)
    const { ending } = await line.read(undefined, 5000)
    expect(ending).not.toBe('open')
    expect(one.requests.at(-1)).toMatchObject({ target: '/ws-refused', bodyLength: 0 })
  })
})

describe('gRPC', () => {
  const open = () => openGrpc({ port: child.ports.https, host: 'grpc.test', ca: files.ca, authorization: `Bearer ${stub}` })

  test('a call is answered, and its status comes in the trailers', async () => {
    using client = open()
    expect(await client.unary('hello')).toBe('hello')
    await expect(client.unary('fail')).rejects.toMatchObject({ code: 9, details: 'asked to fail' })
    expect(grpc.calls.at(-1)).toEqual({ method: 'unary', host: 'grpc.test', authorization: `Bearer ${files.secrets['service']}` })
  })

  test('messages of a stream go both ways in turns', async () => {
    using client = open()
    const messages = ['one', randomBytes(200_000).toString('hex'), 'three']
    expect(await client.bidi(messages)).toEqual(messages)
  })

  test('fifty calls share a connection', async () => {
    using client = open()
    const names = Array.from({ length: 50 }, (_, i) => `call ${i}`)
    expect(await Promise.all(names.map((name) => client.unary(name)))).toEqual(names)
  })
})
