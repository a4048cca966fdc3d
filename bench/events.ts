/**
 * The upstream of what takes time: `node events.ts CERT KEY ADDRESS`. `/paced/N/MS`: N events, one each MS milliseconds; `/flat/N`: N
 * events as fast as they are taken; `/idle`: one event and then nothing. `/v1/messages` is told in the header `x-bench` which of them,
 * and answers as a model does, from `message_start` to `message_stop`. Each event carries the CLOCK_MONOTONIC of its sending.
 * An upgrade is echoed.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'

const [cert = '', key = '', address = ''] = process.argv.slice(2)
const text = 'a few words of a reply, as they come'

const opening = `event: message_start
data: {"type":"message_start","message":{"id":"m","model":"claude-opus-4-5","usage":{"input_tokens":10,"output_tokens":1}}}

`
const closing = `event: message_delta
data: {"type":"message_delta","usage":{"output_tokens":99}}

event: message_stop
data: {"type":"message_stop"}

`

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
  request.resume()
  const model = request.url === '/v1/messages'
  const [, way, count = '1', pause = '0'] = (model ? String(request.headers['x-bench']) : (request.url ?? '')).split('/')
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  if (model) response.write(opening)
  void send(response, way === 'idle' ? 1 : Number(count), Number(pause)).then(
    () => way === 'idle' || response.end(model ? closing : ''),
  )
})
server.keepAliveTimeout = 300_000
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
sockets.on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary })))
server.listen({ port: 443, host: address, backlog: 16_384 })

async function send(response: ServerResponse, count: number, pause: number): Promise<void> {
  for (let i = 0; i < count && !response.destroyed; i += 1) {
    const delta = {
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text },
      at: `@${process.hrtime.bigint()}@`,
    }
    if (!response.write(`event: content_block_delta\ndata: ${JSON.stringify(delta)}\n\n`)) await drained(response)
    if (pause > 0) await sleep(pause)
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once('drain', resolve).once('close', resolve))
}
