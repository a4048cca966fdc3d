/**
 * admin/ answers the operator and the machines that watch over the proxy. Two listeners: one with metrics, health and
 * the public CA bundle, which may be reached from the network and shows nothing secret; one that acts, for this machine
 * or behind a token. Neighbours: app.ts hands in functions of observe/, config/ and ca/; this room knows none of them.
 */
import { SingleFlight } from '#base/async.ts'
import { ProxyError } from '#base/errors.ts'
import type { Secret } from '#base/secret.ts'
import { holdsToken, isCrossSite, isLocalHost, isLoopback } from './guard.ts'
import { readiness, startup, type Check, type Health } from './health.ts'
import { fault, json, serve, text, type Answer, type Guard, type Listening } from './http.ts'

export type { Check, Listening }

export interface ListenAddress {
  /** An IP address. */
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

export interface MetricsSources {
  readonly metrics: () => Promise<string>
  readonly contentType: string
  readonly checks: () => readonly Check[]
  readonly started: () => boolean
  /** The public bundle as PEM; `ours`: our CA alone. */
  readonly bundle: (only: 'ours' | undefined) => string
  readonly version: string
}

export interface ReloadResult {
  readonly ok: boolean
  /** Of the policy now in force. */
  readonly hash: string | undefined
  /** What is wrong or doubtful, each fit to be read by a person. */
  readonly issues: readonly unknown[]
}

export interface AdminSources {
  /** Anything that JSON can hold and anyone with access may see. */
  readonly status: () => object
  /** Reads everything anew: a reload already under way may have read the files before they were edited. */
  readonly reload: () => Promise<ReloadResult>
  /** How each credential is; never a value. */
  readonly credentials: () => readonly object[]
  /** The link a person logs in by. Throws `ProxyError` when there is none. */
  readonly beginLogin: (credential: string) => string
  /** Takes the code the person got. Gives the new generation. Throws `ProxyError`. */
  readonly finishLogin: (credential: string, code: string) => Promise<number>
  readonly version: string
}

/** Serves `/metrics`, health, `/ca.crt` and `/version`. Rejects with the error of `listen`. */
export function serveMetrics(listen: ListenAddress, sources: MetricsSources): Promise<Listening> {
  // Scrapes that come together share one collection.
  const scrapes = new SingleFlight<'scrape', string>()
  const live = { method: 'GET', answer: () => json(200, { ok: true }) } as const
  return serve(
    {
      '/metrics': { method: 'GET', answer: async () => text(await scrapes.run('scrape', sources.metrics), sources.contentType) },
      '/livez': live,
      '/healthz': live,
      '/readyz': { method: 'GET', answer: () => shown(readiness(sources.started(), sources.checks())) },
      '/startupz': { method: 'GET', answer: () => shown(startup(sources.started())) },
      '/ca.crt': { method: 'GET', answer: (query) => certificates(query.get('only'), sources) },
      '/version': { method: 'GET', answer: () => json(200, { version: sources.version }) },
    },
    listen,
  )
}

/**
 * Serves `/v1/status` and `/v1/reload`. With a token every request must carry it. Throws when the address can be reached
 * from other machines and there is no token; rejects with the error of `listen`.
 */
export async function serveAdmin(listen: ListenAddress, sources: AdminSources, token?: Secret): Promise<Listening> {
  if (token === undefined && !isLoopback(listen.host)) {
    throw new Error(`listen.admin: ${listen.host} can be reached from other machines; give a token file, or listen on 127.0.0.1`)
  }
  return serve(
    {
      '/v1/status': { method: 'GET', answer: () => json(200, sources.status()) },
      '/v1/reload': { method: 'POST', answer: async () => reloaded(await sources.reload()) },
      '/v1/credentials': { method: 'GET', answer: () => json(200, sources.credentials()) },
      '/v1/login': { method: 'POST', takes: 'json', answer: (_query, body) => begun(body, sources) },
      '/v1/login/code': { method: 'POST', takes: 'json', answer: (_query, body) => finished(body, sources) },
      '/version': { method: 'GET', answer: () => json(200, { version: sources.version }) },
    },
    listen,
    guardOf(token),
  )
}

function begun({ credential }: Readonly<Record<string, unknown>>, { beginLogin }: AdminSources): Answer {
  if (typeof credential !== 'string') return fault(400, 'bad_body', 'name the credential')
  try {
    return json(200, { url: beginLogin(credential) })
  } catch (error) {
    return told(error)
  }
}

async function finished({ credential, code }: Readonly<Record<string, unknown>>, { finishLogin }: AdminSources): Promise<Answer> {
  if (typeof credential !== 'string' || typeof code !== 'string')
    return fault(400, 'bad_body', 'name the credential and give the code')
  try {
    return json(200, { generation: await finishLogin(credential, code) })
  } catch (error) {
    return told(error)
  }
}

/** Our own errors say what to do; what else is thrown is not for telling. */
function told(error: unknown): Answer {
  if (!(error instanceof ProxyError)) throw error
  return fault(409, error.code, error.message)
}

function guardOf(token: Secret | undefined): Guard {
  return ({ headers }) => {
    if (!isLocalHost(headers.host)) return fault(421, 'bad_host', 'name the admin listener by IP address or as localhost')
    if (isCrossSite(headers)) return fault(403, 'cross_site', 'pages of other origins may not use the admin listener')
    if (token && !holdsToken(headers.authorization, token)) {
      return {
        ...fault(401, 'token_required', 'send the admin token as Authorization: Bearer'),
        headers: { 'www-authenticate': 'Bearer' },
      }
    }
    return undefined
  }
}

function shown({ status, body }: Health): Answer {
  return json(status, body)
}

/** 422: the request was fine, the policy files are not, and the last good policy is still in force. */
function reloaded(result: ReloadResult): Answer {
  return json(result.ok ? 200 : 422, { ok: result.ok, hash: result.hash ?? null, issues: result.issues })
}

function certificates(only: string | null, { bundle }: MetricsSources): Answer {
  if (only !== null && only !== 'ours') return fault(400, 'bad_query', '`only` takes `ours`')
  return text(bundle(only ?? undefined), 'application/x-pem-file')
}
