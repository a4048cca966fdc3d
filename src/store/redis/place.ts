/** What is written after `state:` when the state is shared. */
export interface RedisPlace {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly tls: boolean
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  /** What the Sentinels call the group. */
  readonly group: string | undefined
  readonly db: number
  readonly username: string | undefined
  /** As operators may read it. */
  readonly shown: string
}

const form = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/

/**
 * Reads `redis://host:6379/0`, `rediss://…` for TLS, `redis+sentinel://one:26379,two:26379/group/0` and
 * `redis+cluster://one:6379,two:6379`, each with `user@` where the server has users. A string says what is wrong: among that,
 * a password, which would be printed with the settings.
 */
export function parseRedisPlace(text: string): RedisPlace | string {
  const [, scheme, kind = 'single', user, hosts = '', path = ''] = form.exec(text) ?? []
  if (scheme === undefined) return 'write a file, or redis://host:6379/0'
  if (user?.includes(':')) return 'a password does not belong here; put it into a file and name that as `redis.password`'
  const nodes = hosts.split(',').map((each) => nodeOf(each, kind === 'sentinel' ? 26_379 : 6379))
  if (!allKnown(nodes)) return `${JSON.stringify(hosts)} is not host:port, or several with commas between them`
  if (kind === 'single' && nodes.length > 1) return 'several hosts are a redis+sentinel:// or a redis+cluster://'
  const parts = path === '' ? [] : path.split('/')
  const group = kind === 'sentinel' ? parts.shift() : undefined
  if (kind === 'sentinel' && !group) return 'name the group that the Sentinels watch: redis+sentinel://host:26379/group'
  const [db = '0', ...rest] = parts
  if (!/^\d{1,4}$/.test(db) || rest.length > 0) return `${JSON.stringify(path)} does not end in the number of a database`
  if (kind === 'cluster' && db !== '0') return 'a cluster has no database but 0'
  return {
    kind: kind as RedisPlace['kind'],
    tls: scheme === 'rediss',
    nodes,
    group,
    db: Number(db),
    username: user === undefined || user === '' ? undefined : decodeURIComponent(user),
    shown: text.replace(/\/\/[^@/]*@/, '//'),
  }
}

/** Whether `state` names a server and not a file. */
export function isRedisPlace(state: string): boolean {
  return state.includes('://')
}

type Node = RedisPlace['nodes'][number]

function nodeOf(text: string, usual: number): Node | undefined {
  const [, host, port = String(usual)] = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  return { host: host.replaceAll(/^\[|\]$/g, ''), port: Number(port) }
}

function allKnown(nodes: readonly (Node | undefined)[]): nodes is readonly Node[] {
  return nodes.every((node) => node !== undefined)
}
