/**
 * admin/ answers the operator and the machines that watch over the proxy. Two listeners: one with metrics, health and
 * the public CA bundle, which may be reached from the network and shows nothing secret; one that acts, for this machine
 * or behind a token. Neighbours: app.ts hands in functions of observe/, config/ and ca/; this room knows none of them.
 */
import type { IncomingMessage } from 'node:http'
import { SingleFlight } from '#base/async.ts'
import type { Secret } from '#base/secret.ts'
import { holdsToken, isCrossSite, isLocalHost, isLoopback } from './guard.ts'
import { changeBudget, moveSpent, putClockRight, showBudgets, showSpent } from './budgets.ts'
import type { BudgetSources, SpendSources } from './budgets.ts'
import { readiness, startup, type Check, type Health } from './health.ts'
import { fault, json, serve, text, type HttpAnswer, type Guard, type ListenAddress, type Listening, type Routes } from './http.ts'
import type { LoginLinks } from './login-links.ts'
import { loginRoutes, pagePath, problem } from './login-routes.ts'
import type { LoginSources } from './login-routes.ts'
import { runRoutes } from './runs.ts'
import type { RunSources } from './runs.ts'

export type { Check, ListenAddress, Listening }

export interface MetricsSources {
  readonly metrics: () => Promise<string>
  readonly contentType: string
  readonly checks: () => readonly Check[]
  readonly started: () => boolean
  /** The public bundle as PEM, for whoever has this address; `ours`: our CA alone. */
  readonly bundle: (only: 'ours' | undefined, peer: string) => string
  readonly version: string
}

export interface ReloadResult {
  readonly ok: boolean
  /** Of the policy now in force. */
  readonly hash: string | undefined
  /** What is wrong or doubtful, each fit to be read by a person. */
  readonly issues: readonly unknown[]
}

export interface AdminSources extends LoginSources, BudgetSources, SpendSources, RunSources {
  /** Anything that JSON can hold and anyone with access may see. */
  readonly status: () => object
  /** Reads everything anew: a reload already under way may have read the files before they were edited. */
  readonly reload: () => Promise<ReloadResult>
  /** The last audit records, one line of JSON each, oldest first; `after`: those that follow the record of this id. */
  readonly records: (after: string | undefined) => readonly string[]
  /** How each credential is; never a value. */
  readonly credentials: () => readonly object[]
  /** The same, after asking whose the credential is; `undefined`: of all. Throws `ProxyError` where nobody can say. */
  readonly identify: (credential: string | undefined) => Promise<readonly object[]>
  readonly version: string
}

/** Pages for people, who have no header to send: the guard asks them for each request that is theirs. */
export interface Pages {
  readonly routes: Routes
  /** Where logins that the pages begin are kept. */
  readonly links: LoginLinks
  /** `token`: what lets one in. `undefined`: it may pass. `none`: it is no request of theirs. */
  readonly refusal: (request: IncomingMessage, token: Secret) => HttpAnswer | 'none' | undefined
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
      '/ca.crt': { method: 'GET', answer: (query, _body, _last, peer) => certificates(query.get('only'), peer, sources) },
      '/version': { method: 'GET', answer: () => json(200, { version: sources.version }) },
    },
    listen,
  )
}

/**
 * Serves `/v1/…` and the login page. With a token every request must carry it, but for that page. Throws when the address can be reached
 * from other machines and there is no token; rejects with the error of `listen`.
 */
export async function serveAdmin(
  listen: ListenAddress,
  sources: AdminSources,
  token?: Secret,
  pages?: Pages,
): Promise<Listening> {
  if (token === undefined && 'host' in listen && !isLoopback(listen.host)) {
    throw new Error(`listen.admin: ${listen.host} can be reached from other machines; give a token file, or listen on 127.0.0.1`)
  }
  return serve(
    {
      '/v1/status': { method: 'GET', answer: () => json(200, sources.status()) },
      '/v1/log': { method: 'GET', answer: (query) => recordsAfter(query.get('after'), sources) },
      '/v1/reload': { method: 'POST', answer: async () => reloaded(await sources.reload()) },
      '/v1/credentials': { method: 'GET', answer: () => json(200, sources.credentials()) },
      '/v1/whoami': { method: 'POST', takes: 'json', patience: 60_000, answer: (_query, body) => identified(body, sources) },
      '/v1/budgets': { method: 'GET', answer: () => showBudgets(sources) },
      '/v1/budgets/set': { method: 'POST', takes: 'json', answer: (_query, body) => changeBudget(body, sources) },
      '/v1/budgets/spent': { method: 'GET', answer: () => showSpent(sources) },
      '/v1/budgets/move': { method: 'POST', takes: 'json', answer: (_query, body) => moveSpent(body, sources) },
      '/v1/budgets/clock': { method: 'POST', takes: 'json', answer: () => putClockRight(sources) },
      ...runRoutes(sources),
      ...pages?.routes,
      ...loginRoutes(sources, pages?.links),
      '/version': { method: 'GET', answer: () => json(200, { version: sources.version }) },
    },
    listen,
    guardOf(token, pages),
  )
}

/** Asks with the value in force, of one credential or of all. */
async function identified({ credential }: Readonly<Record<string, unknown>>, { identify }: AdminSources): Promise<HttpAnswer> {
  if (credential !== undefined && typeof credential !== 'string')
    return fault(400, 'bad_body', 'name the credential, or none for all')
  try {
    return json(200, await identify(credential))
  } catch (error) {
    return problem(error)
  }
}

/** The records as they stand in the audit, one a line. */
function recordsAfter(after: string | null, { records }: AdminSources): HttpAnswer {
  return text(
    records(after ?? undefined)
      .map((line) => `${line}\n`)
      .join(''),
    'application/jsonl',
  )
}

function guardOf(token: Secret | undefined, pages: Pages | undefined): Guard {
  return (request) => {
    const { headers, url = '' } = request
    if (!isLocalHost(headers.host)) return fault(421, 'bad_host', 'name the admin listener by IP address or as localhost')
    if (isCrossSite(headers)) return fault(403, 'cross_site', 'pages of other origins may not use the admin listener')
    // The link to the page is what lets one in there.
    if (token && !url.startsWith(pagePath) && !holdsToken(headers.authorization, token)) {
      const refusal = pages?.refusal(request, token) ?? (pages ? undefined : 'none')
      if (refusal !== 'none') return refusal
      return {
        ...fault(401, 'token_required', 'send the admin token as Authorization: Bearer'),
        headers: { 'www-authenticate': 'Bearer' },
      }
    }
    return undefined
  }
}

function shown({ status, body }: Health): HttpAnswer {
  return json(status, body)
}

/** 422: the request was fine, the policy files are not, and the last good policy is still in force. */
function reloaded(result: ReloadResult): HttpAnswer {
  return json(result.ok ? 200 : 422, { ok: result.ok, hash: result.hash ?? null, issues: result.issues })
}

function certificates(only: string | null, peer: string, { bundle }: MetricsSources): HttpAnswer {
  if (only !== null && only !== 'ours') return fault(400, 'bad_query', '`only` takes `ours`')
  return text(bundle(only ?? undefined, peer), 'application/x-pem-file')
}
