import type { IncomingMessage } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { WebSocketServer } from 'ws'
import { patternSha256, patternStream } from './pattern.ts'
import type { Visit } from './upstream.ts'

type Route = (visit: Visit, argument: string, query: URLSearchParams) => void | Promise<void>

interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  /** Told of each byte that follows an upgrade we refused. */
  readonly heard: (bytes: Buffer) => void
}

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: gzipSync,
  br: brotliCompressSync,
  deflate: deflateSync,
  zstd: zstdCompressSync,
}

/** First segment of the path → what it does; the rest of the path is its argument. Anything else is told what was asked. */
const routes: Readonly<Record<string, Route>> = {
  json: ({ response }) => sendJson(response, 200, { filler: 'x'.repeat(1024 - '{"filler":""}'.length) }),

  // Reflects the request: every header in the body, and the one named by `header` in a response header.
  echo: async (visit, _, query) => {
    await visit.body
    const { request, response } = visit
    const value = request.headers[query.get('header') ?? 'authorization']
    if (value !== undefined) response.setHeader('x-echo', String(value))
    response.setHeader('content-type', 'application/json')
    await sendCoded(visit, Buffer.from(JSON.stringify({ headers: request.headers, url: request.url })), query)
  },

  // Reflects one header in a place that is easily forgotten, or in a spelling: base64, hex, percent, json, unicode.
  reflect: async (visit, place, query) => {
    const value = String(visit.request.headers[query.get('header') ?? 'authorization'] ?? '')
    if (Object.hasOwn(places, place)) places[place]?.(visit.response, value)
    else await sendCoded(visit, Buffer.from(spell(value, place)), query)
  },

  upload: async ({ response, body, seen }) => {
    await body
    sendJson(response, 200, { bytes: seen.bodyLength, sha256: seen.bodySha256 })
  },

  // Sends the body back as it comes.
  mirror: async ({ request, response }) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    await pipeline(request, response)
  },

  download: async ({ request, response }, argument, query) => {
    const length = Number(argument)
    const hash = query.has('hash') ? { 'x-sha256': patternSha256(length) } : {}
    response.writeHead(200, { 'content-length': length, 'content-type': 'application/octet-stream', ...hash })
    if (request.method === 'HEAD') response.end()
    else await pipeline(patternStream(length), response)
  },

  sse: async ({ response }, argument) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    await sendPaced(response, argument, (sequence, at) => `id: ${sequence}\ndata: ${JSON.stringify({ sequence, at })}\n\n`)
  },

  ndjson: async ({ response }, argument) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    await sendPaced(response, argument, (sequence, at) => `${JSON.stringify({ sequence, at })}\n`)
  },

  chunked: ({ response }) => {
    response.writeHead(200, { 'content-type': 'text/plain', trailer: 'x-checksum' })
    response.write('one ')
    response.write('two')
    response.addTrailers({ 'x-checksum': 'made of two' })
    response.end()
  },

  status: ({ response }, argument, query) => {
    const status = Number(argument)
    if (status >= 300 && status < 400 && status !== 304) response.setHeader('location', query.get('to') ?? '/json')
    response.writeHead(status)
    response.end(status === 204 || status === 304 ? undefined : `status ${status}\n`)
  },

  early: ({ response }, _, query) => {
    if (query.has('close')) response.setHeader('connection', 'close')
    sendJson(response, 413, { error: 'too large' })
  },

  hang: () => {},

  slow: async ({ response }, argument) => {
    await sleep(Number(argument))
    if (!response.destroyed) sendJson(response, 200, { slept: Number(argument) })
  },

  continue: async ({ response, body, seen }) => {
    await body
    sendJson(response, 200, { bytes: seen.bodyLength })
  },

  103: ({ response }) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
    sendJson(response, 200, { hinted: true })
  },

  'many-1xx': async ({ response }, argument) => {
    for (let i = 0; i < Number(argument || 200); i++) {
      response.writeEarlyHints({ link: `</${i}.css>; rel=preload` })
      // So that an end that hung up is noticed.
      if (i % 1000 === 0) await sleep(0)
    }
    sendJson(response, 200, { hinted: true })
  },

  // A length that is not kept: HTTP/1.1 is closed, h2 ends the stream as if all were well.
  truncate: ({ request, response }) => {
    response.writeHead(200, { 'content-length': 100, 'content-type': 'text/plain' })
    response.write('ten bytes.', () => (isH2(request) ? response.end() : request.socket.end()))
  },

  // A body without its end: no last chunk, or a reset of the stream (RFC 9113 section 8.1.1).
  'truncate-chunked': ({ request, response }) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('ten bytes.', () => {
      if (isH2(request)) (response as unknown as Http2ServerResponse).stream.close(constants.NGHTTP2_INTERNAL_ERROR)
      else request.socket.end()
    })
  },

  reset: ({ tcp }) => void tcp.resetAndDestroy(),

  // Answers, then hangs up without having said so.
  'close-idle': async ({ response, tcp }, argument) => {
    sendJson(response, 200, { closing: true })
    await sleep(Number(argument || 20))
    tcp.end()
  },

  'duplicate-headers': ({ response }) => {
    response.setHeader('set-cookie', ['a=1; Path=/', 'b=2; Path=/'])
    response.setHeader('x-dup', ['one', 'two'])
    sendJson(response, 200, { duplicate: true })
  },

  'ws-refused': ({ response }) => sendJson(response, 200, { upgraded: false }),
}

const places: Readonly<Record<string, (response: Visit['response'], value: string) => void>> = {
  location: (response, value) => void response.writeHead(302, { location: `/json?${value}` }).end(),
  cookie: (response, value) => void response.writeHead(200, { 'set-cookie': `session=${value}; Path=/` }).end('ok'),
  reason: (response, value) => void response.writeHead(200, value, {}).end('ok'),
  hints: (response, value) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload', 'x-echo': value })
    response.end('ok')
  },
  trailer: (response, value) => {
    response.writeHead(200, { trailer: 'x-echo' })
    response.write('ok')
    response.addTrailers({ 'x-echo': value })
    response.end()
  },
}

/** Whether the body of this request stays unread and its `Expect` unanswered. */
export function isUnread(target: string): boolean {
  return /^\/(?:early|hang)(?:[/?]|$)/.test(target)
}

/** Answers one request by its path. */
export async function answer(visit: Visit): Promise<void> {
  const [path = '', query = ''] = visit.seen.target.split('?', 2)
  const [, name = '', ...rest] = path.split('/')
  if (Object.hasOwn(routes, name)) return routes[name]?.(visit, rest.join('/'), new URLSearchParams(query))
  await visit.body
  sendJson(visit.response, 200, { method: visit.seen.method, target: visit.seen.target })
}

const webSockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 24 })

/** `/ws` echoes each message; `/ws-refused` answers 200 and listens on; the rest is answered 404. */
export function answerUpgrade({ request, socket, head, heard }: Upgrade): void {
  socket.on('error', () => {})
  if (request.url?.startsWith('/ws-refused')) {
    if (head.length > 0) heard(head)
    socket.on('data', heard)
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nrefused')
  } else if (request.url?.startsWith('/ws')) {
    webSockets.handleUpgrade(request, socket, head, (client) => {
      client.on('error', () => {})
      client.on('message', (data, binary) => client.send(data, { binary }))
    })
  } else {
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
  }
}

function isH2(request: IncomingMessage): boolean {
  return request.httpVersionMajor === 2
}

function sendJson(response: Visit['response'], status: number, value: unknown): void {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** Sends a body coded as `enc` says, in writes of `cut` bytes. */
async function sendCoded({ response }: Visit, body: Buffer, query: URLSearchParams): Promise<void> {
  const coding = query.get('enc')
  if (coding) response.setHeader('content-encoding', coding)
  const bytes = coding && coding in codings ? (codings[coding]?.(body) ?? body) : body
  const cut = Number(query.get('cut') ?? bytes.length)
  for (let at = 0; at < bytes.length; at += cut) {
    response.write(bytes.subarray(at, at + cut))
    if (cut < bytes.length) await sleep(0)
  }
  response.end()
}

/** `count/gap`: sends that many pieces, one write each, `gap` milliseconds apart. */
async function sendPaced(response: Visit['response'], pace: string, piece: (n: number, at: number) => string): Promise<void> {
  const [count = 0, gap = 0] = pace.split('/').map(Number)
  for (let sequence = 0; sequence < count && !response.closed; sequence++) {
    if (sequence > 0) await sleep(gap)
    response.write(piece(sequence, Date.now()))
  }
  response.end()
}

function spell(value: string, how: string): string {
  switch (how) {
    case 'base64':
      return Buffer.from(value).toString('base64')
    case 'hex':
      return Buffer.from(value).toString('hex')
    case 'percent':
      return encodeURIComponent(value)
    case 'json':
      return JSON.stringify(value)
    case 'unicode':
      return [...Buffer.from(value, 'latin1')].map((byte) => `\\u${byte.toString(16).padStart(4, '0')}`).join('')
    default:
      return value
  }
}
