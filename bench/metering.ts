/**
 * What metering adds to a stream of events: delay for each event, and CPU for each MB. The same upstream is reached under two
 * names, of which one rule has a meter and a budget and the other has neither.
 */
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { testAuthority } from '../test/kit/ca.ts'
import { startChild } from '../test/kit/child.ts'
import type { Child } from '../test/kit/child.ts'
import { closer, listen } from '../test/kit/listen.ts'
import { openTls } from '../test/kit/raw.ts'
import { makeWorkspace } from '../test/kit/workspace.ts'

const policy = `version: 1
agents: {agent: {from: [{cidr: 127.0.0.0/8}], budget: day}}
budgets: {day: {window: day, tokens: 9000000000, atLimit: cut}}
rules:
  - {id: metered, hosts: [metered.test], meter: anthropic}
  - {id: plain, hosts: [plain.test]}
`
const hosts = ['plain.test', 'metered.test'] as const
type Host = (typeof hosts)[number]

/** Rounds, of which each contender has its turn in each. */
const rounds = 7
/** Events, one by one, whose delay is taken; and MB in one go, whose CPU is. */
const events = 400
const megabytes = 64

const text = 'a few words of a reply, as they come; '.repeat(4)
const delta = (sent: string): string =>
  `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: sent } })}\n\n`
const start = `event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"claude-opus-4-5","usage":{"input_tokens":10,"output_tokens":1}}}\n\n`
const end = `event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":99}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n`

async function paced(response: ServerResponse): Promise<void> {
  for (let i = 0; i < events; i += 1) {
    response.write(delta(`at ${process.hrtime.bigint()} `))
    await new Promise((go) => setTimeout(go, 2))
  }
}

async function bulk(response: ServerResponse): Promise<void> {
  const piece = Buffer.from(delta(text).repeat(200))
  for (let sent = 0; sent < megabytes * 1e6; sent += piece.length) {
    if (!response.write(piece)) await new Promise((go) => response.once('drain', go))
  }
}

/** Medians and spreads, and what the second of the two costs beside the first. */
export async function metering(): Promise<string> {
  await using stack = new AsyncDisposableStack()
  const files = stack.use(await makeWorkspace(policy, []))
  const { certPem: cert, keyPem: key } = testAuthority().leaf(...hosts)
  const server = createServer({ cert, key }, (request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(start)
    const body = request.headers['x-bench'] === 'bulk' ? bulk(response) : paced(response)
    void body.then(() => response.end(end))
  })
  stack.defer(closer(server))
  const port = await listen(server)
  const child = stack.use(await startChild({ files, hosts: { 'plain.test': port, 'metered.test': port } }))

  const delays: Record<Host, number[]> = { 'plain.test': [], 'metered.test': [] }
  const costs: Record<Host, number[]> = { 'plain.test': [], 'metered.test': [] }
  for (let round = 0; round <= rounds; round += 1) {
    for (const host of round % 2 === 0 ? hosts : hosts.toReversed()) {
      const delay = await eventDelay(child, files.ca, host)
      const cost = await cpuOf(child, files.ca, host)
      // The first round warms up.
      if (round > 0) {
        delays[host].push(delay)
        costs[host].push(cost)
      }
    }
  }
  const row = (what: string, unit: string, values: Record<Host, number[]>) => {
    const [plain, metered] = hosts.map((host) => spread(values[host]))
    return `| ${what} | ${((metered?.median ?? 0) / (plain?.median ?? 1)).toFixed(2)} | ${plain?.text} ${unit} | ${metered?.text} ${unit} |`
  }
  return [
    '| | metered ÷ not | not metered | metered |',
    '| --- | --- | --- | --- |',
    row('delay of an event, upstream to agent', 'µs', delays),
    row('CPU of the proxy for a MB of events', 'ms', costs),
    '',
  ].join('\n')
}

/** The median of how long events were on their way, in microseconds. */
async function eventDelay(child: Child, ca: string, host: Host): Promise<number> {
  const seen: number[] = []
  await stream(child, ca, host, 'paced', (chunk) => {
    const now = process.hrtime.bigint()
    for (const [, at = '0'] of chunk.toString('latin1').matchAll(/at (\d+) /g)) seen.push(Number(now - BigInt(at)) / 1000)
  })
  return spread(seen).median
}

/** CPU milliseconds of the proxy for a MB. */
async function cpuOf(child: Child, ca: string, host: Host): Promise<number> {
  const before = cpuMilliseconds(child.pid)
  await stream(child, ca, host, 'bulk', () => {})
  return (cpuMilliseconds(child.pid) - before) / megabytes
}

async function stream(child: Child, ca: string, host: Host, bench: string, take: (chunk: Buffer) => void): Promise<void> {
  await using socket = await openTls({ port: child.ports.https, servername: host, ca, alpn: ['http/1.1'] })
  const body = '{"model":"claude-opus-4-5","max_tokens":100,"stream":true,"messages":[]}'
  socket.write(
    `POST /v1/messages HTTP/1.1\r\nhost: ${host}\r\nx-bench: ${bench}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
  for await (const chunk of socket) take(chunk as Buffer)
}

/** User and system time of a process with all its threads: proc(5), `stat`, in ticks of 10 ms. */
function cpuMilliseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function spread(values: readonly number[]): { readonly median: number; readonly text: string } {
  const sorted = values.toSorted((one, other) => one - other)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { median: at(0.5), text: `${at(0.5).toFixed(1)} (${at(0.25).toFixed(1)} to ${at(0.75).toFixed(1)})` }
}
