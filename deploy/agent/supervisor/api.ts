/** How are the agents? Read-only, on a unix socket, for whoever may open it. */
import { chmod, chown, mkdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname } from 'node:path'
import type { AgentStatus } from './agent.ts'

export interface ApiSources {
  /** Whose members may open the socket; empty: those of our own group. */
  readonly group: string
  readonly statuses: () => readonly AgentStatus[]
  /** Seconds. */
  readonly uptime: () => number
}

type Answer = readonly [status: number, body: unknown]

/** Serves until disposed. A socket that an earlier supervisor left behind is replaced. Rejects with the error of `listen`. */
export async function serveApi(socket: string, sources: ApiSources): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    const [status, body] = answerTo(request.method ?? '', request.url ?? '', sources)
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
  })
  const group = sources.group === '' ? undefined : await idOf(sources.group)
  // A folder that we make is for the group too; one that is there keeps its mode.
  const made = await mkdir(dirname(socket), { recursive: true, mode: 0o770 })
  if (made !== undefined && group !== undefined) await chown(dirname(socket), -1, group)
  await rm(socket, { force: true })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(socket, resolve)
  await promise
  if (group !== undefined) await chown(socket, -1, group)
  await chmod(socket, 0o660)
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      server.closeAllConnections()
      await closed.promise
    },
  }
}

/** The number of a group by its name or number. Rejects when there is none. */
async function idOf(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group)
  const rows = (await readFile('/etc/group', 'utf8')).split('\n').map((row) => row.split(':'))
  const id = rows.find(([name]) => name === group)?.[2]
  if (id === undefined) throw new Error(`--group: there is no group "${group}"`)
  return Number(id)
}

function answerTo(method: string, url: string, { statuses, uptime }: ApiSources): Answer {
  if (method !== 'GET') return [405, { error: 'method not allowed' }]
  const [path = ''] = url.split('?')
  if (path === '/v1/health') return [200, { state: 'running', uptime_seconds: Math.floor(uptime()) }]
  if (path === '/v1/agents') return [200, statuses()]
  const [, wanted] = /^\/v1\/agents\/([^/]+)$/.exec(path) ?? []
  if (wanted === undefined) return [404, { error: 'not found' }]
  const found = statuses().find(({ name }) => name.toLowerCase() === wanted.toLowerCase())
  return found ? [200, found] : [404, { error: 'agent not found' }]
}
