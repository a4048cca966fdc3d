/** Several proxies as real processes over one policy and one Redis, and what a test asks of them. */
import { randomBytes } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SettingsInput } from './app.ts'
import { startChild } from './child.ts'
import type { Child } from './child.ts'
import type { Provider } from './provider.ts'
import { openTls } from './raw.ts'
import { startRedis } from './redis.ts'
import type { RedisServer } from './redis.ts'
import { parseReplies } from './reply.ts'
import { makeWorkspace } from './workspace.ts'
import type { Workspace } from './workspace.ts'

export interface Asked {
  readonly host: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Posted as JSON. */
  readonly body?: object
  /** Source address on loopback: which agent speaks. */
  readonly from?: string
}

export interface Crew extends AsyncDisposable {
  readonly files: Workspace
  readonly redis: RedisServer
  start(name: string, over?: SettingsInput, env?: Readonly<Record<string, string>>): Promise<Child>
}

/** The files, the server and the seal key of a crew; its replicas are started by name, and ended with it. */
export async function makeCrew(policy: string, hosts: Readonly<Record<string, number>>, redisUrl?: string): Promise<Crew> {
  await using stack = new AsyncDisposableStack()
  const files = stack.use(await makeWorkspace(policy, []))
  const redis = stack.use(await startRedis())
  await writeFile(join(files.folder, 'seal.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
  const owned = stack.move()
  return {
    files,
    redis,
    async start(name, over = {}, env = {}) {
      const settings = { state: redisUrl ?? redis.url, replicas: 3, ...over }
      const child = owned.use(await startChild({ files, hosts, settings, env, name }))
      if (!child.started) throw new Error(child.stderr)
      return child
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** One request through the door for TLS; status 0 when the connection broke before a reply. */
export async function askOf(
  child: Child,
  files: Workspace,
  asked: Asked,
): Promise<{ readonly status: number; readonly body: string }> {
  const { host, path = '/json', headers = {}, body, from } = asked
  const text = body === undefined ? '' : JSON.stringify(body)
  const all = {
    host,
    ...headers,
    connection: 'close',
    ...(body !== undefined && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  await using connection = await openTls({
    port: child.ports.https,
    servername: host,
    ca: files.ca,
    alpn: ['http/1.1'],
    ...(from !== undefined && { from }),
  })
  connection.write(`${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${text}`)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of connection) chunks.push(chunk as Buffer)
  } catch {
    // What has come by then is what there is.
  }
  const [reply] = parseReplies(Buffer.concat(chunks))
  return { status: reply?.status ?? 0, body: reply?.body.toString() ?? '' }
}

/** A login as a seed in the policy's folder, its access token expired. */
export async function writeSeed(
  files: Workspace,
  provider: Provider,
): Promise<{ readonly access: string; readonly refresh: string }> {
  const login = provider.login()
  const path = join(files.policies, 'secrets', 'seed.json')
  const seed = { access_token: login.access, refresh_token: login.refresh, expires_at: Math.floor(Date.now() / 1000) - 60 }
  await writeFile(`${path}.new`, JSON.stringify(seed))
  await rename(`${path}.new`, path)
  return login
}

/** The first account as a replica sees it. */
export async function balanceOf(child: Child): Promise<{ readonly used: number; readonly reserved: number } | undefined> {
  const reply = await fetch(`http://127.0.0.1:${child.ports.admin}/v1/budgets`)
  if (!reply.ok) return undefined
  const [row] = (await reply.json()) as readonly { readonly tokens: { readonly used: number; readonly reserved: number } }[]
  return row?.tokens
}

/** What a replica says of its readiness. */
export async function isReady(child: Child): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${child.ports.metrics}/readyz`)).status === 200
}

/** The value of one series on a replica's metrics; `undefined`: it is not there. */
export async function metricOf(child: Child, series: string): Promise<number | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${child.ports.metrics}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}
