import { placeText } from '#base/listen-place.ts'
import type { AdminListen, Settings } from '#config/settings-schema.ts'
import { exit, CommandFailure } from './command.ts'
import { readNamed } from './files.ts'

/** Milliseconds until the admin listener must have answered; a login may have to wait for a provider, and then for another. */
const patience = 60_000

type Method = 'GET' | 'POST' | 'DELETE'

interface AdminAnswer {
  /** 0: nobody answered, and `body` says why. */
  readonly status: number
  readonly body: unknown
}

/** The admin listener as a browser on this machine finds it. `undefined`: none can, since it is a unix socket or off. */
export function adminUrl({ listen: { admin } }: Settings): string | undefined {
  if (admin === 'off' || 'socket' in admin) return undefined
  const unspecified: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
  const address = unspecified[admin.address] ?? admin.address
  return `http://${placeText({ address, port: admin.port })}`
}

/** What the admin listener of a running proxy answers. Throws `Failure` when it does not, or says no. */
export async function toldByAdmin(
  settings: Settings,
  method: Method,
  path: string,
  body?: object,
  as: 'json' | 'text' = 'json',
): Promise<unknown> {
  const answer = await askAdmin(settings, method, path, body, patience, as)
  if (answer.status < 200 || answer.status > 299) throw new CommandFailure(problemOf(answer), exit.unavailable)
  return answer.body
}

/**
 * Asks the admin listener of a running proxy, for `timeout` milliseconds. Never rejects for what the network does; throws
 * `Failure` for a token that cannot be read.
 */
export async function askAdmin(
  settings: Settings,
  method: Method,
  path: string,
  body?: object,
  timeout = patience,
  as: 'json' | 'text' = 'json',
): Promise<AdminAnswer> {
  const { admin } = settings.listen
  if (admin === 'off') return { status: 0, body: 'listen.admin is off' }
  const token = settings.adminToken === undefined ? undefined : String(await readNamed(settings.adminToken)).trim()
  const text = body === undefined ? undefined : JSON.stringify(body)
  // Every command is loaded at every start, and `node:http` costs 40 ms; see admin/http.ts.
  const { request } = await import('node:http')
  return new Promise((resolve) => {
    const asked = request(
      {
        ...('socket' in admin ? { socketPath: admin.socket, host: 'localhost' } : { host: admin.address, port: admin.port }),
        method,
        path,
        timeout,
        headers: {
          ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
      },
      (res) => {
        let answer = ''
        res.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
        res.on('end', () =>
          resolve({ status: res.statusCode ?? 0, body: as === 'text' && res.statusCode === 200 ? answer : parsed(answer) }),
        )
      },
    )
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', (error) => resolve({ status: 0, body: `no proxy answers on ${adminPlace(admin)} (${faultOf(error)})` }))
    asked.end(text)
  })
}

/** Where the admin listener is, as settings write it. */
export function adminPlace(admin: AdminListen): string {
  if (admin === 'off') return 'off'
  if ('socket' in admin) return `unix:${admin.socket}`
  return placeText(admin)
}

/** Node repeats the address in its message. */
function faultOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such socket: is the proxy running, and is this its working directory?'
  if (error.code === 'EACCES') return 'the socket is another user’s'
  return error.code ?? error.message
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** What went wrong, in words. */
function problemOf({ body }: AdminAnswer): string {
  if (typeof body === 'string') return body
  const message = (body as { error?: { message?: unknown } } | null)?.error?.message
  return typeof message === 'string' ? message : 'the proxy did not say why'
}
