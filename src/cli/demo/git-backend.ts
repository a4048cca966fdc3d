/** Git's own server side of smart HTTP (`git http-backend`), run for one request at a time. */
import { spawn } from 'node:child_process'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

export interface Repositories {
  /** The program `git-http-backend`, of the folder that `git --exec-path` names. */
  readonly backend: string
  /** Folder whose `owner/name.git` are served, for reading and writing. */
  readonly root: string
  /** Where the backend finds git: a PATH. */
  readonly path: string
  /** Told how many bytes of a body went out. */
  readonly onBody?: (bytes: number) => void
}

/**
 * Answers one request by CGI (RFC 3875): the body goes in as it comes, and comes out behind a head of its own. Who may
 * is the caller's question. Rejects when the connection or the backend broke off.
 */
export async function serveGit(request: IncomingMessage, response: ServerResponse, repositories: Repositories): Promise<void> {
  const { backend, root, path, onBody = () => {} } = repositories
  const [pathInfo = '', query = ''] = (request.url ?? '').split('?', 2)
  const header = (name: string): string => String(request.headers[name] ?? '')
  const child = spawn(backend, [], {
    env: {
      PATH: path,
      HOME: root,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: header('git-protocol'),
      PATH_INFO: pathInfo,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method ?? '',
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      // Absent means up to the end of the input, which is what a chunked body is.
      ...(request.headers['content-length'] && { CONTENT_LENGTH: request.headers['content-length'] }),
      REMOTE_USER: 'agent',
      REMOTE_ADDR: '127.0.0.1',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  response.on('close', () => response.writableEnded || child.kill())
  // The backend may answer and leave before it has read everything.
  pipeline(request, child.stdin).catch(() => {})
  await pipeline(
    afterHead(child.stdout, (head) => writeHead(response, head), onBody),
    response,
  )
}

/** The password of Basic; git sends the username of its URL with it, and like GitHub we take any. */
export function basicPassword(authorization: string | undefined): string | undefined {
  const basic = /^Basic (.+)$/i.exec(authorization ?? '')?.[1]
  return basic && Buffer.from(basic, 'base64').toString().split(':').slice(1).join(':')
}

/** Says that a password is needed, as GitHub does: git asks once without one. */
export function askForPassword(response: ServerResponse): void {
  response.writeHead(401, { 'www-authenticate': 'Basic realm="GitHub"', 'content-type': 'text/plain' })
  response.end('authentication required\n')
}

/** Takes the head off the output of a CGI program and passes on what follows, as it comes. */
async function* afterHead(
  output: AsyncIterable<Buffer>,
  onHead: (head: string) => void,
  onBody: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const bytes of output) {
    let body = bytes
    if (head) {
      head = Buffer.concat([head, bytes])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) continue
      onHead(head.toString('latin1', 0, end))
      body = head.subarray(end + 4)
      head = undefined
    }
    onBody(body.length)
    yield body
  }
}

function writeHead(response: ServerResponse, head: string): void {
  let status = 200
  for (const line of head.split('\r\n')) {
    const [, name = '', value = ''] = /^([^:]+): *(.*)$/.exec(line) ?? []
    if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10)
    else if (name) response.setHeader(name, value)
  }
  response.writeHead(status)
}
