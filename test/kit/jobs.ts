/** What a Job does: it is minted at one process, and speaks through the explicit proxy of any. */
import { once } from 'node:events'
import { request } from 'node:http'
import type { Child } from './child.ts'
import { run } from './clients.ts'
import { throughDoor } from './doors.ts'
import type { Workspace } from './workspace.ts'

export interface Job {
  readonly run_id: string
  readonly proxy: { readonly username: string; readonly password: string }
  readonly stubs: Readonly<Record<string, string>>
  readonly expires_at: string
}

/** Asks the admin listener of a process. */
export async function adminOf(child: Child, method: string, path: string, body?: object) {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const reply = await fetch(`http://127.0.0.1:${child.ports.admin}${path}`, init)
  const text = await reply.text()
  return { status: reply.status, body: (text === '' ? {} : JSON.parse(text)) as unknown }
}

/** Throws where none is minted. */
export async function mintAt(child: Child, order: object = {}): Promise<Job> {
  const { status, body } = await adminOf(child, 'POST', '/v1/runs', { agent: 'devbot', ttl_seconds: 60, ...order })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body as Job
}

/** The status of a CONNECT as a Job makes it: the first thing it ever says. */
export async function connectAs(child: Child, { proxy }: Job, host: string): Promise<number> {
  const basic = Buffer.from(`${proxy.username}:${proxy.password}`).toString('base64')
  const asking = request({
    host: '127.0.0.1',
    port: child.ports.proxy,
    method: 'CONNECT',
    path: `${host}:443`,
    headers: { 'proxy-authorization': `Basic ${basic}` },
  })
  asking.end()
  const [response, socket] = (await once(asking, 'connect')) as [{ readonly statusCode: number }, { destroy(): void }]
  socket.destroy()
  return response.statusCode
}

/** Arguments and environment of a curl that speaks as a Job, or as whoever has its address. */
export function curlOf(child: Child, files: Workspace, job: Job | undefined, url: string) {
  const { curl, env } = throughDoor('connect', child.ports, files.caFile)
  const auth = job ? ['--proxy-user', `${job.proxy.username}:${job.proxy.password}`] : []
  return { args: [...curl(url), ...auth, '--max-time', '20', url], env }
}

/** The status curl gets; 0 where the tunnel is refused. */
export async function curlAs(
  child: Child,
  files: Workspace,
  job: Job | undefined,
  url: string,
  more: readonly string[] = [],
): Promise<number> {
  const { args, env } = curlOf(child, files, job, url)
  const done = await run('curl', ['-q', '-s', '-o', '/dev/null', '-w', '%{http_code}', ...more, ...args], { env })
  return Number(done.stdout)
}
