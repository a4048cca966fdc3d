// node sketch.js PORT CERT KEY UPSTREAM-CA
// The least that can be called such a proxy on Node: CONNECT, one fixed certificate, every request sent on by undici with one header
// set. No policy, no audit, nothing. What Node and undici cost on this machine, so that ours can be told apart from it.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createSecureContext } from 'node:tls'
import { Agent } from 'undici'

const [port, cert, key, upstreamCa] = process.argv.slice(2)
const secureContext = createSecureContext({ ca: readFileSync(upstreamCa) })
const upstream = new Agent({ allowH2: false, headersTimeout: 0, bodyTimeout: 0, connect: { secureContext } })
const ofHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'proxy-connection'])

const inside = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
  const { method, url: path, headers } = request
  const sent = Object.fromEntries(Object.entries(headers).filter(([name]) => !ofHop.has(name)))
  const hasBody = 'content-length' in headers || 'transfer-encoding' in headers
  upstream.dispatch(
    {
      origin: `https://${headers.host}`,
      method,
      path,
      headers: { ...sent, authorization: 'Bearer real' },
      body: hasBody ? request : null,
    },
    {
      onRequestStart: (controller) => {
        response.on('drain', () => controller.resume())
        response.on('close', () => response.writableFinished || controller.abort(new Error('the client has gone')))
      },
      onResponseStart: (_controller, status, replied) => {
        response.writeHead(status, Object.fromEntries(Object.entries(replied).filter(([name]) => !ofHop.has(name))))
      },
      onResponseData: (controller, chunk) => response.write(chunk) || controller.pause(),
      onResponseEnd: () => response.end(),
      onResponseError: () => response.destroy(),
    },
  )
})
const outside = createServer()
outside.on('connect', (_request, socket) => {
  socket.allowHalfOpen = false
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  inside.emit('connection', socket)
})
outside.listen({ port: Number(port), host: '127.0.0.1', backlog: 16_384 })
