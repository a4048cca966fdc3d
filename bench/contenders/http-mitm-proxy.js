// node http-mitm-proxy.js PORT CA-CERT CA-KEY UPSTREAM-CA
import { mkdtempSync, readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Proxy } from 'http-mitm-proxy'

const [port, , , upstreamCa] = process.argv.slice(2)
const proxy = new Proxy()
proxy.onError(() => {})
proxy.onRequest((context, next) => {
  context.proxyToServerRequestOptions.headers.authorization = 'Bearer real'
  next()
})
// It makes an RSA CA of its own; it cannot sign with an EC key.
proxy.listen({
  port: Number(port),
  host: '127.0.0.1',
  sslCaDir: mkdtempSync(join(tmpdir(), 'mitm-')),
  keepAlive: true,
  httpsAgent: new Agent({ keepAlive: true, maxSockets: Infinity, ca: readFileSync(upstreamCa) }),
})
