/**
 * A Kubernetes API server as far as pods go: the wire format of list and watch, versions that grow, pages, bookmarks,
 * history that is forgotten (410), watches that end, break off or cannot be opened, and tokens that must be right.
 */
import { createServer } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { makeTestAuthority } from './ca.ts'
import { closer, listen, type Started } from './listen.ts'

export interface PodSpec {
  readonly uid: string
  readonly name?: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly serviceAccount?: string
  readonly ip?: string
  readonly hostIP?: string
  readonly hostNetwork?: boolean
  readonly phase?: string
  /** It is being deleted, and its containers run or have ended. */
  readonly deleting?: 'running' | 'ended'
}

export interface FakeKube extends Started {
  readonly server: string
  /** PEM of the root behind its certificate. */
  readonly ca: string
  /** The bearer token it takes. */
  token: string
  /** Status every call is refused with; 0: none is. */
  refuse: number
  /** Paths asked for, with their query. */
  readonly asked: readonly string[]
  /** Watches that are open. */
  readonly watches: number
  /** Makes or changes a pod. */
  put(pod: PodSpec): void
  /** Deletes it; `quietly`: nobody is told, as if the event had been lost with a connection. */
  remove(uid: string, quietly?: boolean): void
  /** Sends each watch where it stands. */
  bookmark(): void
  /** Forgets all history: who asks for an older version is told 410. */
  compact(): void
  /** Ends every watch; `rudely`: by breaking the connection in the middle of an event. */
  disconnect(rudely?: boolean): void
  /** Pods that a list answers at once. */
  page: number
}

interface Logged {
  readonly version: number
  readonly type: string
  readonly object: Record<string, unknown>
}

interface Watching {
  readonly namespace: string
  readonly answer: ServerResponse
}

export async function startFakeKube(token: string, name = 'localhost'): Promise<FakeKube> {
  const authority = makeTestAuthority('Cluster test root')
  const leaf = authority.leaf(name)
  const pods = new Map<string, Record<string, unknown>>()
  const log: Logged[] = []
  const asked: string[] = []
  const watching = new Set<Watching>()
  let version = 1000
  let forgotten = 0

  const server = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (request, answer) => respond(request, answer))
  const port = await listen(server)
  const close = closer(server)

  function tell(type: string, object: Record<string, unknown>): void {
    log.push({ version, type, object })
    for (const each of watching) if (namespaceOf(object) === each.namespace) send(each.answer, type, object)
  }

  function respond(request: IncomingMessage, answer: ServerResponse): void {
    asked.push(request.url ?? '')
    const url = new URL(request.url ?? '', 'https://localhost')
    const [, namespace] = /^\/api\/v1\/namespaces\/([^/]+)\/pods$/.exec(url.pathname) ?? []
    if (self.refuse !== 0) return status(answer, self.refuse)
    if (request.headers.authorization !== `Bearer ${self.token}`) return status(answer, 401)
    if (namespace === undefined) return status(answer, 404)
    if (url.searchParams.get('watch') === '1') watch(namespace, url.searchParams, answer)
    else list(namespace, url.searchParams, answer)
  }

  function list(namespace: string, query: URLSearchParams, answer: ServerResponse): void {
    const all = [...pods.values()].filter((pod) => namespaceOf(pod) === namespace)
    const [from = 0, at = version] = (query.get('continue') ?? '').split('.').filter(Boolean).map(Number)
    if (at < forgotten) return status(answer, 410)
    const limit = Math.min(Number(query.get('limit') ?? all.length), self.page)
    const more = from + limit < all.length ? `${from + limit}.${at}` : ''
    const metadata = { resourceVersion: String(at), ...(more !== '' && { continue: more }) }
    const items = all.slice(from, from + limit)
    answer.setHeader('content-type', 'application/json')
    answer.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata, items }))
  }

  function watch(namespace: string, query: URLSearchParams, answer: ServerResponse): void {
    const from = Number(query.get('resourceVersion'))
    answer.setHeader('content-type', 'application/json')
    answer.flushHeaders()
    if (from < forgotten) {
      // As the API does: the watch is agreed to, and its first event says that it cannot be.
      send(answer, 'ERROR', { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Expired', code: 410 })
      return void answer.end()
    }
    for (const each of log)
      if (each.version > from && namespaceOf(each.object) === namespace) send(answer, each.type, each.object)
    const entry = { namespace, answer }
    watching.add(entry)
    answer.on('close', () => watching.delete(entry))
  }

  const self: FakeKube = {
    port,
    server: `https://${name}:${port}`,
    ca: authority.certPem,
    token,
    refuse: 0,
    page: 500,
    asked,
    get watches() {
      return watching.size
    },
    put(spec) {
      version += 1
      const object = podObject(spec, version)
      const known = pods.has(spec.uid)
      pods.set(spec.uid, object)
      tell(known ? 'MODIFIED' : 'ADDED', object)
    },
    remove(uid, quietly = false) {
      const object = pods.get(uid)
      if (!object) return
      version += 1
      pods.delete(uid)
      const last = { ...object, metadata: { ...(object['metadata'] as object), resourceVersion: String(version) } }
      if (!quietly) tell('DELETED', last)
    },
    bookmark() {
      version += 1
      const object = { kind: 'Pod', apiVersion: 'v1', metadata: { resourceVersion: String(version) } }
      for (const { answer } of watching) send(answer, 'BOOKMARK', object)
    },
    compact() {
      version += 1
      forgotten = version
      log.length = 0
    },
    disconnect(rudely = false) {
      for (const { answer } of watching) {
        if (!rudely) answer.end()
        else answer.write('{"type":"MODI', () => answer.destroy())
      }
    },
    [Symbol.asyncDispose]: close,
  }
  return self
}

function send(answer: ServerResponse, type: string, object: object): void {
  answer.write(`${JSON.stringify({ type, object })}\n`)
}

function status(answer: ServerResponse, code: number): void {
  answer.statusCode = code
  answer.setHeader('content-type', 'application/json')
  answer.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code }))
}

function namespaceOf(object: Record<string, unknown>): unknown {
  return (object['metadata'] as { namespace?: string } | undefined)?.namespace
}

/** A core/v1 Pod with the fields that matter here, and some that must not. */
export function podObject(spec: PodSpec, version: number): Record<string, unknown> {
  const { uid, name = uid, namespace = 'agents', labels = {}, serviceAccount = 'default', ip, hostIP, hostNetwork = false } = spec
  const ended = spec.deleting === 'ended'
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      uid,
      name,
      namespace,
      labels,
      resourceVersion: String(version),
      ...(spec.deleting && { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 }),
    },
    spec: {
      serviceAccountName: serviceAccount,
      hostNetwork,
      containers: [{ name: 'agent', env: [{ name: 'A', value: 'ü €' }] }],
    },
    status: {
      phase: spec.phase ?? 'Running',
      ...(hostIP !== undefined && { hostIP, hostIPs: [{ ip: hostIP }] }),
      ...(ip !== undefined && { podIP: ip, podIPs: [{ ip }] }),
      containerStatuses: [{ name: 'agent', state: ended ? { terminated: { exitCode: 0 } } : { running: {} } }],
    },
  }
}
