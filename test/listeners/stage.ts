/** Doors on loopback with a scripted upstream behind them: the journey, the vault and the CA are the real ones. */
import type { StopSignal } from '#base/async.ts'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Ports } from '#journey/ports.ts'
import { Doors } from '#listeners/doors.ts'
import type { Leaves } from '#listeners/tls.ts'
import { systemClock } from '#observe/system-clock.ts'
import { LeafCache } from '#ca/leaf.ts'
import type { LeafCacheOptions } from '#ca/leaf.ts'
import { makeTestAuthority } from '../kit/ca.ts'
import { connectThroughProxy, openTcp, openTls } from '../kit/raw.ts'
import { parseReplies, repliesOf, type RawReply } from '../kit/reply.ts'
import { snapshotOf } from '../kit/policy.ts'
import { wire } from '../kit/wire.ts'
import { worldOf, type World } from '../journey/parts.ts'

export const authority = makeTestAuthority('Agents trust this')

export const policy = `
credentials:
  key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [scoped.test]}
rules:
  - {id: no-delete, effect: deny, hosts: [good.test], methods: [DELETE]}
  - {id: good, hosts: [good.test, other.test, UPPER.test]}
  - {id: odd, hosts: [good.test], ports: [8443]}
  - {id: scoped, hosts: [scoped.test], credentials: [key]}
  - {id: plain, hosts: [plain.test], plain: true}
  - {id: pinned, hosts: [pinned.test], inspect: false}
`

export interface Stage extends AsyncDisposable {
  readonly world: World
  readonly doors: Doors
  readonly ports: { readonly http: number; readonly https: number; readonly proxy: number }
  /** Waits until this many records are written; gives them all. */
  records(count: number): Promise<World['records']>
  /** What a spliced tunnel reaches. */
  connect: (target: { readonly host: string; readonly port: number }) => Promise<Duplex>
}

export interface StageOptions {
  readonly text?: string
  readonly leaves?: Partial<LeafCacheOptions>
  readonly wrap?: (leaves: Leaves) => Leaves
}

export async function stage({
  text = policy,
  leaves: limits = {},
  wrap = (leaves) => leaves,
}: StageOptions = {}): Promise<Stage> {
  const world = worldOf(await snapshotOf(text), { KEY: 'the-real-value-of-key' })
  const cache = new LeafCache(() => authority.authority, {
    clock: { now: () => Date.now(), elapsed: () => performance.now(), later: () => () => {} },
    ...limits,
  })
  const leaves: Leaves = {
    contextFor: (host) => cache.contextFor(host),
    contextForDenied: (host, agent) => cache.contextForDenied(host, agent),
  }
  // Sockets close after real time, whatever the journey is told of it.
  const ports: Ports = {
    ...world.ports,
    clock: systemClock,
    upstream: { ...world.ports.upstream, connect: (target) => set.connect(target) },
  }
  const any = { address: '127.0.0.1', port: 0 }
  const doors = new Doors({ http: any, https: any, proxy: any }, ports, wrap(leaves))
  await doors.start()
  const { http = 0, https = 0, proxy = 0 } = doors.ports
  const set: Stage = {
    world,
    doors,
    ports: { http, https, proxy },
    connect: () => Promise.reject(new Error('nothing to splice to')),
    async records(count) {
      await until(() => world.records.length >= count)
      return world.records
    },
    [Symbol.asyncDispose]: async () => doors.close(),
  }
  return set
}

/** Waits until something holds; throws when it does not come true in time. */
export async function until(holds: () => boolean, milliseconds = 3000): Promise<void> {
  const end = performance.now() + milliseconds
  while (!holds()) {
    if (performance.now() > end) throw new Error(`still not so after ${milliseconds} ms: ${holds.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export type DoorName = 'http' | 'https' | 'absolute' | 'tunnel' | 'plain-tunnel'

/** A connection to `host` by a door, ready for HTTP/1.1. */
export async function open(on: Stage, door: DoorName, host = 'good.test', port = 443): Promise<Duplex> {
  switch (door) {
    case 'http':
      return openTcp({ port: on.ports.http })
    case 'absolute':
      return openTcp({ port: on.ports.proxy })
    case 'https':
      return openTls({ port: on.ports.https, servername: host, ca: authority.certPem })
    case 'tunnel': {
      const over = await connectThroughProxy(on.ports.proxy, `${host}:${port}`)
      return openTls({ port: 0, servername: host, ca: authority.certPem, over })
    }
    case 'plain-tunnel':
      return connectThroughProxy(on.ports.proxy, `${host}:80`)
    default:
      return door satisfies never
  }
}

export interface Said {
  readonly replies: readonly RawReply[]
  readonly ending: 'open' | 'closed' | 'reset'
  readonly text: string
}

/** Writes bytes and reads so many final replies; 0: reads until the other side leaves. */
export async function say(
  socket: Duplex,
  bytes: string,
  count = 1,
  methods: readonly string[] = [],
  timeout = 3000,
): Promise<Said> {
  const line = wire(socket)
  // The kit hands tunnels over paused.
  socket.resume()
  line.write(bytes)
  const { bytes: received, ending } = await line.read(count > 0 ? repliesOf(count, methods) : undefined, timeout)
  return { replies: parseReplies(received, methods), ending, text: received.toString('latin1') }
}

/** The code in the body of a refusal. */
export function codeIn(reply: RawReply | undefined): string | undefined {
  if (!reply) return undefined
  return (JSON.parse(reply.body.toString()) as { error: { code: string } }).error.code
}

export async function closed(socket: Duplex): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

export type { Socket }

/** Resolves when the exchange of this signal is stopped. */
export function stopped(signal: StopSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', resolve))
}
