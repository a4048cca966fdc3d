/**
 * The upstream of what takes time: `node events.ts CERT KEY ADDRESS`. `/paced/N/MS`: N events, one each MS milliseconds; `/flat/N`: N
 * events as fast as they are taken; `/idle`: one event and then nothing. Each event carries the CLOCK_MONOTONIC of its sending.
 * An upgrade is echoed.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'

const [cert = '', key = '', address = ''] = process.argv.slice(2)
const text = 'a few words of a reply, as they come'

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
  request.resume()
  const [, way, count = '1', pause = '0'] = (request.url ?? '').split('/')
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  void send(response, way === 'idle' ? 1 : Number(count), Number(pause)).then(() => way === 'idle' || response.end())
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
