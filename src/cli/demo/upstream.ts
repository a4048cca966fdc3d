/** The other side of the demo: one TLS server that is GitHub, Anthropic and the rest, and wants the real credentials. */
import { generateKeyPairSync } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import { createAuthority, openAuthority } from '#ca/authority.ts'
import { issueLeaf } from '#ca/leaf.ts'
import { subjectKey } from '#ca/x509.ts'
import { askForPassword, basicPassword, serveGit } from './git-backend.ts'
import type { Repositories } from './git-backend.ts'
import { hosts } from './policy.ts'

/** A request as it arrived: this is what the proxy made of the agent's. */
export interface SeenRequest {
  readonly host: string
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  /** The body of the reply, where it is worth a look. */
  reply: string
  /** When each event of a stream was written, in milliseconds of `performance.now()`. */
  readonly written: number[]
}

export interface DemoUpstream extends AsyncDisposable {
  readonly port: number
  /** The root that its certificate stands on; not the proxy's CA. */
  readonly rootPem: string
  /** What arrived since this was last asked. */
  newRequests(): readonly SeenRequest[]
}

export interface Reals {
  readonly github: string
  readonly claude: string
}

/** Milliseconds between two events. */
const pace = 120

/** Starts the server on a free port of loopback. */
export async function startUpstream(reals: Reals, repositories: Repositories): Promise<DemoUpstream> {
  const { rootPem, cert, key } = certificate()
  const seen: SeenRequest[] = []
  const server = createServer({ cert, key }, (request, response) => {
    const { method = '', url: path = '', headers } = request
    const visit = { host: String(headers.host).replace(/:\d+$/, ''), method, path, headers, reply: '', written: [] }
    seen.push(visit)
    response.on('error', () => {})
    answer(visit, request, response, reals, repositories).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    rootPem,
    newRequests: () => seen.splice(0),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  visit: SeenRequest,
  request: IncomingMessage,
  response: ServerResponse,
  reals: Reals,
  repositories: Repositories,
): Promise<void> {
  const { host, path, headers } = visit
  switch (host) {
    case 'github.com':
      return basicPassword(headers.authorization) === reals.github
        ? serveGit(request, response, repositories)
        : askForPassword(response)
    case 'api.github.com':
      if (headers.authorization !== `Bearer ${reals.github}`) return sendJson(response, 401, { message: 'Bad credentials' })
      if (path.startsWith('/debug')) return reflect(visit, response)
      return sendJson(response, 200, { login: 'devbot' })
    case 'api.anthropic.com':
      if (headers['x-api-key'] !== reals.claude) return sendJson(response, 401, { type: 'error' })
      return stream(visit, response)
    default:
      return sendJson(response, 200, { served: host })
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Gives back what it was sent, as debug endpoints and error pages do. */
function reflect(visit: SeenRequest, response: ServerResponse): void {
  visit.reply = JSON.stringify({ authorization: visit.headers.authorization })
  const zip = visit.path.endsWith('gzip')
  response.writeHead(200, { 'content-type': 'application/json', ...(zip && { 'content-encoding': 'gzip' }) })
  response.end(zip ? gzipSync(visit.reply) : visit.reply)
}

/** Server-sent events, each in its own time. */
async function stream(visit: SeenRequest, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const word of ['No', 'key', 'was', 'here']) {
    if (visit.written.length > 0) await sleep(pace)
    visit.written.push(performance.now())
    response.write(`event: content_block_delta\ndata: ${JSON.stringify({ delta: { type: 'text_delta', text: word } })}\n\n`)
  }
  response.end('event: message_stop\ndata: {}\n\n')
}

function certificate(): { readonly rootPem: string; readonly cert: string; readonly key: string } {
  const now = Date.now()
  const root = createAuthority({ commonName: 'Root of the demo upstreams', days: 1, now })
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const names = hosts.map((name) => parseHost(name)) as [Host, ...Host[]]
  const leaf = issueLeaf(openAuthority({ ...root, now }), {
    hosts: names,
    key: subjectKey(publicKey),
    now,
    lifetimeMs: 3_600_000,
  })
  return { rootPem: root.certPem, cert: leaf.certPem, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}
