import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import type * as Library from 'ioredis'
import type { Cluster, Redis } from 'ioredis'
import { withoutCommonName } from '#base/certificate-name.ts'
import type { Secret } from '#base/secret.ts'
import type { RedisPlace } from './place.ts'
import type { StoreFault } from '../store-error.ts'

export interface ClientOptions {
  readonly place: RedisPlace
  /** Read anew for each connection. */
  readonly password?: (() => Secret | undefined) | undefined
  readonly sentinelPassword?: (() => Secret | undefined) | undefined
  /** PEM of roots that the server's certificate may come from; `undefined`: the public ones. */
  readonly ca?: string | undefined
}

/** Loaded with the first link: it takes 110 ms and 25 MB, which a state that is a file has no use for. */
const load = createRequire(import.meta.url)

/** Milliseconds within which an answer counts. */
export const answerTime = 1_500

/** A script and what it is called by. */
export interface Script {
  readonly text: string
  readonly sha: string
}

const scripts = new Map<string, Script>()

export function scriptOf(text: string): Script {
  const known = scripts.get(text)
  if (known) return known
  // Redis names scripts so; nothing hangs on the strength of it.
  const made = { text, sha: createHash('sha1').update(text).digest('hex') }
  scripts.set(text, made)
  return made
}

/** Runs a script by its name; a server that does not know it is told once. */
export async function evaluate(
  client: Redis | Cluster,
  { text, sha }: Script,
  key: string,
  args: readonly string[],
): Promise<unknown> {
  try {
    return await client.evalsha(sha, 1, key, ...args)
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
    return client.eval(text, 1, key, ...args)
  }
}

const identity = {
  checkServerIdentity: (host: string, certificate: PeerCertificate) => checkServerIdentity(host, withoutCommonName(certificate)),
}

/** A client that connects when it is told to, and then again and again; `before` is called each time. */
export function connect(options: ClientOptions, before: () => void): Redis | Cluster {
  const { Cluster, Redis } = load('ioredis') as typeof Library
  const { place, ca, password, sentinelPassword } = options
  const tls = place.tls ? { ...identity, ...(ca !== undefined && { ca }) } : undefined
  const retry = (times: number): number => {
    before()
    return Math.min(50 * times, 1_000)
  }
  const common = {
    lazyConnect: true,
    db: place.db,
    connectTimeout: 2_000,
    commandTimeout: answerTime,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectionName: 'iron-proxy',
    disableClientInfo: true,
    ...(place.username !== undefined && { username: place.username }),
    ...(password && { password: readQuietly(password) }),
    ...(tls && { tls }),
  }
  if (place.kind === 'cluster')
    return new Cluster([...place.nodes], {
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: retry,
      slotsRefreshTimeout: 2_000,
      slotsRefreshInterval: 5_000,
      redisOptions: common,
    })
  // A server that was made a replica while we are connected says READONLY: ask again who the master is.
  const single = {
    ...common,
    enableOfflineQueue: false,
    retryStrategy: retry,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  if (place.kind === 'sentinel')
    return new Redis({
      ...single,
      sentinels: [...place.nodes],
      name: place.group ?? '',
      sentinelRetryStrategy: retry,
      enableTLSForSentinelMode: place.tls,
      ...(tls && { sentinelTLS: tls }),
      ...(sentinelPassword && { sentinelPassword: readQuietly(sentinelPassword) }),
    })
  const [node] = place.nodes
  return new Redis({ ...single, host: node?.host ?? '', port: node?.port ?? 0 })
}

/** A cluster makes its connections itself, with the password it began with. */
export function isSingle(client: Redis | Cluster): client is Redis {
  return !client.isCluster
}

/** A file that is away for a moment while it is replaced: the server says then what it thinks of no password. */
export function readQuietly(password: () => Secret | undefined): string | undefined {
  try {
    return password()?.expose()
  } catch {
    return undefined
  }
}

const replies: readonly (readonly [RegExp, StoreFault, string])[] = [
  [/^OOM/, 'store_full', 'is out of memory; raise `maxmemory`, and let it evict nothing (`noeviction`)'],
  [/^READONLY/, 'store_readonly', 'is a replica; name its master, or its Sentinels'],
  [/^MISCONF/, 'store_full', 'cannot write to its disk'],
  [/^(?:WRONGPASS|NOAUTH|ERR AUTH)/, 'store_io', 'refuses our password; see `redis.password`'],
  [/^NOPERM/, 'store_io', 'does not let our user use these keys and scripts'],
  [/^LOADING/, 'store_io', 'is still loading'],
  [/^CLUSTERDOWN/, 'store_io', 'is a cluster that is down'],
  [/timed out/, 'store_io', 'does not answer in time'],
]

/** What an error of the client comes to, in words that hold nothing of what was sent. */
export function whyNot(error: unknown): readonly [StoreFault, string] {
  const message = error instanceof Error ? error.message : ''
  const [, code, what] = replies.find(([pattern]) => pattern.test(message)) ?? []
  return code && what ? [code, what] : ['store_io', 'cannot be reached']
}
