import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { streamCurl, type StreamCurl } from '../kit/stream-curl.ts'
import { startUpstream, type Upstream, type Visit } from '../kit/upstream.ts'
import { upstreamHosts, ways, type Way } from '../kit/ways.ts'
import { within } from '../kit/within.ts'

const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  service: {kind: bearer, stub: proxy-token-service, secret: {file: secrets/service}, hosts: [one.test, two.test]}
rules:
  - {id: plain, hosts: [plain.test], plain: true}
  - {id: service, hosts: [one.test, two.test], credentials: [service]}
  - {id: open, hosts: [open.one.test, open.two.test]}
`

/** Replies that go on only when the test says so, by their path. */
const steps = new Map<string, (text: string | undefined) => void>()

function stepped({ request, response, seen }: Visit): boolean {
  const [, route, type] = seen.target.split('/')
  if (route !== 'steps') return false
  request.resume()
  response.writeHead(200, { 'content-type': type === 'sse' ? 'text/event-stream' : 'application/x-ndjson' })
  response.flushHeaders()
  steps.set(seen.target, (text) => (text === undefined ? response.end() : response.write(text)))
  return true
}

let scene: Scenario<Record<Way['upstream'], Upstream>>

beforeAll(async () => {
  const handler = stepped
  scene = await scenario({
    policy,
    secrets: ['service'],
    upstreams: {
      h1: { hosts: upstreamHosts.h1, start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1', handler }) },
      h2: { hosts: upstreamHosts.h2, start: ({ certificate }) => startUpstream({ certificate, protocol: 'h2', handler }) },
      plain: { hosts: upstreamHosts.plain, start: ({ certificate }) => startUpstream({ certificate, plain: true, handler }) },
    },
  })
})

afterAll(async () => {
  await scene[Symbol.asyncDispose]()
})

function start(way: Way, path: string, host: string = way.host): StreamCurl {
  const url = `${way.scheme}://${host}${path}`
  const { curl, env } = scene.door(way.door)
  return streamCurl([...curl(url), ...way.curl, '--dump-header', '-', url], env)
}

describe.each(ways)('on the way of $name', (way) => {
  test.each([
    ['sse', 'host whose replies are searched', way.host, (n: number) => `id: ${n}\ndata: {"n":${n}}\n\n`],
    ['ndjson', 'host whose replies are searched', way.host, (n: number) => `{"n":${n}}\n`],
    ['ndjson', 'host without a credential', way.scheme === 'http' ? way.host : way.open, (n: number) => `{"n":${n}}\n`],
  ] as const)('each %s event of a %s arrives before the next is written', async (type, _, host, event) => {
    const path = `/steps/${type}/${ways.indexOf(way)}/${host}`
    using client = start(way, path, host)
    // Nothing was written yet: the head alone has to arrive.
    expect(await client.until('\r\n\r\n')).toBe(true)
    const write = steps.get(path)
    for (const n of [1, 2, 3]) {
      write?.(event(n))
      expect(await client.until(event(n))).toBe(true)
    }
    write?.(undefined)
    expect(await client.ended).toBe(0)
  })
})

test('a host that is silent for three seconds is waited for, on every way at once', async () => {
  const polls = ways.map((way) => scene.curl(way.door, `${way.scheme}://${way.host}/slow/3000`, way.curl))
  for (const reply of await Promise.all(polls)) {
    expect(reply).toMatchObject({ code: 0, status: 200 })
    expect(JSON.parse(reply.body.toString())).toEqual({ slept: 3000 })
  }
})

test.each(ways)('on the way of $name an agent that leaves is told to the host', async (way) => {
  const path = `/steps/sse/${ways.indexOf(way)}/leaving`
  using client = start(way, path)
  expect(await client.until('\r\n\r\n')).toBe(true)
  const { connections, requests } = scene.upstreams[way.upstream]
  const seen = requests.findLast(({ target }) => target === path)
  client.kill()
  await client.ended
  expect(await scene.audited({ path, code: 'client_closed' })).toMatchObject({ status: 200, verdict: 'allow' })
  if (way.upstream !== 'h2') {
    expect(await within(() => connections[seen?.connection ?? -1]?.closed === true, 2000)).toBeDefined()
  }
})
