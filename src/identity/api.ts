import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { StringDecoder } from 'node:string_decoder'
import { checkServerIdentity } from 'node:tls'
import { withoutCommonName } from '#base/certificate-name.ts'
import { Secret } from '#base/secret.ts'
import { at, text, versionOf } from './pod.ts'

/** Where the API is and who we are there. */
export interface ApiPlace {
  readonly server: URL
  /** Files: kubelet replaces the token about once an hour, so it is read for each request. */
  readonly token: string
  readonly ca: string
}

export interface PodList {
  readonly pods: readonly unknown[]
  /** What a watch goes on from. */
  readonly version: string
}

/** What the API answered that was no 200, or 0 for trouble on the way. The message never has a token or a pod in it. */
export class ApiError extends Error {
  readonly status: number
  /** Milliseconds that the API asks us to stay away. */
  readonly retryAfter: number

  constructor(status: number, message: string, retryAfter = 0) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.retryAfter = retryAfter
  }

  /** One word for the metric. */
  get reason(): string {
    return this.status === 0 ? 'unreachable' : String(this.status)
  }
}

/** A watch that the API opened and then sent nothing on, not even a bookmark. */
export class SilentWatch extends ApiError {
  constructor(seconds: number) {
    super(0, `the API has sent nothing on the watch for ${seconds} s, so the pods are listed again`)
    this.name = 'SilentWatch'
  }

  override get reason(): string {
    return 'silent'
  }
}

/** Pods in one answer of a list; more come with `continue`. */
const page = 500
/** Milliseconds without a byte after which an answer is given up. */
const patience = 15_000
/** An object of etcd has at most 1.5 MiB, and JSON escapes make it longer; a page has many of them. */
const longest = { line: 8 << 20, page: 256 << 20 } as const

/** The two calls that we make: list pods, watch pods (Kubernetes API concepts, "efficient detection of changes"). */
export class PodApi {
  readonly #place: ApiPlace
  readonly #agent = new Agent({
    keepAlive: true,
    // Every call opens its own connection: a pooled one may be as dead as the watch that has just gone silent.
    maxFreeSockets: 0,
    checkServerIdentity: (host, certificate) => checkServerIdentity(host, withoutCommonName(certificate)),
  })

  constructor(place: ApiPlace) {
    this.#place = place
  }

  /** All pods of a namespace as of one version. Throws `ApiError`, 410 among them when pages grow too old to go on. */
  async list(namespace: string, signal: AbortSignal): Promise<PodList> {
    const pods: unknown[] = []
    for (let more = ''; ;) {
      const query = new URLSearchParams({ limit: String(page), ...(more !== '' && { continue: more }) })
      const answer = await this.#get(namespace, query, patience, signal)
      const body = parse(await whole(answer))
      const items = at(body, 'items')
      const version = versionOf(body)
      if (!Array.isArray(items) || version === undefined) throw new ApiError(0, 'the API answered with something that is no list')
      pods.push(...(items as unknown[]))
      more = text(at(at(body, 'metadata'), 'continue'))
      if (more === '') return { pods, version }
    }
  }

  /**
   * The events after a version, as `{type, object}`, until the API ends the watch, which it does after `seconds`.
   * `opened` is called once the API has agreed. Throws `ApiError`.
   */
  async *watch(
    namespace: string,
    from: { readonly version: string; readonly seconds: number },
    opened: () => void,
    signal: AbortSignal,
  ): AsyncGenerator<unknown, void, undefined> {
    const query = new URLSearchParams({
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion: from.version,
      timeoutSeconds: String(from.seconds),
    })
    // The caller ends a silent watch by its signal.
    const answer = await this.#get(namespace, query, 0, signal)
    opened()
    for await (const line of lines(answer)) yield parse(line)
  }

  close(): void {
    this.#agent.destroy()
  }

  /** `quiet`: milliseconds without a byte after which the call fails; 0: never. */
  async #get(namespace: string, query: URLSearchParams, quiet: number, signal: AbortSignal): Promise<IncomingMessage> {
    const [token, ca] = await Promise.all([readToken(this.#place.token), readPart(this.#place.ca)])
    const path = `api/v1/namespaces/${encodeURIComponent(namespace)}/pods?${query.toString()}`
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request(
        new URL(path, this.#place.server),
        {
          agent: this.#agent,
          ca,
          signal,
          timeout: quiet,
          headers: { accept: 'application/json', authorization: `Bearer ${token.expose()}`, 'user-agent': 'iron-proxy' },
        },
        resolve,
      )
      asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
      asked.on('error', (error) => reject(new ApiError(0, `the API cannot be asked: ${reasonOf(error)}`)))
      asked.end()
    })
    if (answer.statusCode === 200) return answer
    answer.resume()
    const seconds = Number(answer.headers['retry-after'] ?? 0)
    const wait = Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 120) * 1000 : 0
    throw new ApiError(answer.statusCode ?? 0, refusal(answer.statusCode ?? 0, namespace), wait)
  }
}

function refusal(status: number, namespace: string): string {
  switch (status) {
    case 401:
      return 'the API does not know our token; look at the ServiceAccount of the proxy'
    case 403:
      return `the pods of namespace ${namespace} may not be listed; give our ServiceAccount a Role there with get, list and watch on pods`
    case 410:
      return 'the API has forgotten the version we had'
    default:
      return `the API answered ${status}`
  }
}

async function readToken(file: string): Promise<Secret> {
  return new Secret('Kubernetes token', (await readPart(file)).trim())
}

async function readPart(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new ApiError(0, `${file}: cannot be read (${reasonOf(error)})`)
  }
}

async function whole(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of answer) {
      size += (chunk as Buffer).length
      if (size > longest.page) throw new Error('the answer is too long')
      chunks.push(chunk as Buffer)
    }
  } catch (error) {
    throw new ApiError(0, `the answer broke off: ${reasonOf(error)}`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** One JSON object a line, and a character may be cut by the edge of a chunk. */
async function* lines(answer: IncomingMessage): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  try {
    for await (const chunk of answer) {
      const parts = (rest + decoder.write(chunk as Buffer)).split('\n')
      rest = parts.pop() ?? ''
      if (rest.length > longest.line) throw new Error('an event is too long')
      yield* parts.filter((part) => part.trim() !== '')
    }
  } catch (error) {
    throw new ApiError(0, `the watch broke off: ${reasonOf(error)}`)
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new ApiError(0, 'the API answered with something that is no JSON')
  }
}

/** The code where there is one: the messages of TLS errors quote certificates. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}
