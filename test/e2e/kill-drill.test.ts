import { watch } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '#store/open.ts'
import { testAuthority } from '../kit/ca.ts'
import { startChild } from '../kit/child.ts'
import type { Child } from '../kit/child.ts'
import { closer, listen } from '../kit/listen.ts'
import { Provider } from '../kit/provider.ts'
import { openTls } from '../kit/raw.ts'
import { parseReplies } from '../kit/reply.ts'
import { startUpstream } from '../kit/upstream.ts'
import { makeWorkspace } from '../kit/workspace.ts'
import type { Workspace } from '../kit/workspace.ts'

/**
 * How often each moment is met; IRON_PROXY_TRIALS is how many kills there are in all, and 200 is the whole drill.
 */
const trials = Number(process.env['IRON_PROXY_TRIALS'] ?? 16)

const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/seed.json}
    tokenEndpoint: https://tokens.test/token
    clientId: c
    hosts: [api.test]
rules:
  - {id: api, hosts: [api.test], credentials: [claude]}
`

/** Where the process dies, in the order in which a refresh passes there. */
const moments = [
  'as the request comes in',
  'as it dials the token endpoint',
  'with the call made, and nothing spent yet',
  'with the refresh token spent, and no reply yet',
  'with half of the reply read',
  'with the reply read, as it writes it down',
  'with the new pair on disk, before its first use',
  'with the first use made',
] as const
type Moment = (typeof moments)[number]

let stack: AsyncDisposableStack
let files: Workspace
let provider: Provider
/** Told of each thing that happens at the provider; may kill. */
let on: Partial<Record<'dial' | 'call' | 'use', () => void | Promise<void>>> & { reply?: (bytes: Buffer) => Buffer } = {}
let hosts: Record<string, number>

beforeAll(async () => {
  stack = new AsyncDisposableStack()
  files = stack.use(await makeWorkspace(policy, []))
  provider = new Provider({ delay: () => on.call?.() })
  const tokens = stack.use(await provider.serve(testAuthority().leaf('tokens.test')))
  const tap = createServer((down) => void relay(down, tokens.port))
  stack.defer(closer(tap))
  const api = stack.use(
    await startUpstream({
      certificate: testAuthority().leaf('api.test'),
      protocol: 'h1',
      handler({ request, response }) {
        const good = provider.accepts(request.headers.authorization?.replace('Bearer ', '') ?? '')
        void Promise.resolve(on.use?.()).then(() => response.writeHead(good ? 200 : 401).end())
        return true
      },
    }),
  )
  hosts = { 'tokens.test': await listen(tap), 'api.test': api.port }
})

afterAll(() => stack.disposeAsync())

/** Between the proxy and the token endpoint, where a reply can be held or cut. */
async function relay(down: Socket, port: number): Promise<void> {
  await on.dial?.()
  const up = connect(port, '127.0.0.1')
  for (const [one, other] of [
    [down, up],
    [up, down],
  ] as const) {
    one.on('error', () => other.destroy())
    one.on('close', () => other.destroy())
  }
  down.on('data', (bytes) => up.write(bytes))
  up.on('data', (bytes: Buffer) => down.write(on.reply ? on.reply(bytes) : bytes))
}

async function start(): Promise<Child> {
  const child = await startChild({ files, hosts })
  expect(child.started, child.stderr).toBe(true)
  return child
}

async function ask(child: Child): Promise<number> {
  await using connection = await openTls({ port: child.ports.https, servername: 'api.test', ca: files.ca, alpn: ['http/1.1'] })
  connection.write(
    'GET /v1/models HTTP/1.1\r\nhost: api.test\r\nauthorization: Bearer access-token-stub\r\nconnection: close\r\n\r\n',
  )
  const chunks: Buffer[] = []
  for await (const chunk of connection) chunks.push(chunk as Buffer)
  return parseReplies(Buffer.concat(chunks))[0]?.status ?? 0
}

/** A new login whose access token has ended, as a seed. */
async function seed(): Promise<{ readonly access: string; readonly refresh: string }> {
  const login = provider.login()
  const path = join(files.policies, 'secrets', 'seed.json')
  const expired = Math.floor(Date.now() / 1000) - 60
  await writeFile(
    `${path}.new`,
    JSON.stringify({ access_token: login.access, refresh_token: login.refresh, expires_at: expired }),
  )
  await rename(`${path}.new`, path)
  return login
}

const state = (): string => join(files.folder, 'state.db')

async function kept() {
  const store = openStore({ path: state(), sealKey: join(files.folder, 'seal.key'), uid: process.getuid?.() })
  const grant = await store.read('claude')
  await store.close()
  return grant
}

/** Plays the time that has to pass before a call that was never seen to end is taken for abandoned. */
function passTime(): void {
  const database = new DatabaseSync(state())
  database.exec('UPDATE grants SET in_flight_since = in_flight_since - 60000')
  database.close()
}

/** Kills at the moment; resolves once the process is gone. */
async function killAt(moment: Moment, child: Child, old: { readonly access: string }): Promise<void> {
  const kill = () => child.kill('SIGKILL')
  const forever = () => new Promise<void>(() => {})
  const rotated = () => !provider.accepts(old.access)
  const watching = new AbortController()
  on = {}
  switch (moment) {
    case 'as the request comes in':
      setTimeout(kill, Math.random() * 4)
      break
    case 'as it dials the token endpoint':
      on.dial = () => (kill(), forever())
      break
    case 'with the call made, and nothing spent yet':
      on.call = () => (kill(), forever())
      break
    case 'with the refresh token spent, and no reply yet':
      on.reply = (bytes) => (rotated() ? (kill(), Buffer.alloc(0)) : bytes)
      break
    case 'with half of the reply read':
      on.reply = (bytes) => (rotated() ? (setImmediate(kill), bytes.subarray(0, bytes.length / 2)) : bytes)
      break
    case 'with the reply read, as it writes it down':
      on.reply = (bytes) => (rotated() ? (setTimeout(kill, Math.random() * 4), bytes) : bytes)
      break
    case 'with the new pair on disk, before its first use':
      // The next write after the reply is the new pair.
      on.reply = (bytes) => {
        if (rotated()) watch(`${state()}-wal`, { signal: watching.signal }, kill).on('error', () => {})
        return bytes
      }
      break
    case 'with the first use made':
      on.use = () => (kill(), forever())
      break
    default:
      moment satisfies never
  }
  await ask(child).catch(() => 0)
  // Where the moment never came, it dies all the same.
  kill()
  await child.exited
  watching.abort()
  on = {}
}

describe('a process that is killed in the middle of a refresh', () => {
  const plan = Array.from({ length: trials }, (_, i) => [i + 1, moments[i % moments.length] ?? moments[0]] as const)

  it.each(plan)(
    '(%d) %s has the old pair or the new, and recovers unless the provider itself refuses',
    async (_trial, moment) => {
      const old = await seed()
      await using first = await start()
      await killAt(moment, first, old)
      const spent = !provider.accepts(old.access)

      const grant = await kept()
      if (!grant) {
        // It died before it had anything: the seed is still there.
        expect(spent).toBe(false)
      } else {
        const access = grant.pair.access.expose()
        const isNew = provider.accepts(access) && access !== old.access
        expect(isNew || access === old.access).toBe(true)
        // Only a pair whose call was never seen to end may be one that is spent, and it says so.
        if (spent && !isNew) expect(grant.inFlightSince).toBeDefined()
        passTime()
      }

      const calls = provider.calls
      await using second = await start()
      const lost = spent && grant?.pair.access.expose() === old.access
      for (let i = 0; i < 3; i += 1) {
        const status = await ask(second)
        expect(status, `${moment}: ${second.stderr}`).toBe(lost ? 503 : 200)
      }
      // Shown once more, and never again: a spent token shown twice is what ends a family.
      expect(provider.calls - calls).toBeLessThanOrEqual(1)
      const after = await kept()
      expect(after?.needsLogin !== undefined).toBe(lost)
      second.kill('SIGKILL')
      await second.exited
      await sleep(0)
    },
  )
})
