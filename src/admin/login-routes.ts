import type { Clock } from '#base/clock.ts'
import { ProxyError } from '#base/errors.ts'
import { fault, json } from './http.ts'
import type { HttpAnswer, Routes } from './http.ts'
import { LoginLinks } from './login-links.ts'
import type { Linked } from './login-links.ts'
import { loginPage, notePage } from './login-page.ts'

export interface LoginSources {
  /** The link a person logs in by. Throws `ProxyError` when there is none. */
  readonly beginLogin: (credential: string) => string
  /** Takes the code the person got, and tries what came for it. Throws `ProxyError`. */
  readonly finishLogin: (credential: string, code: string) => Promise<Finished>
  readonly clock: Clock
}

export interface Finished {
  readonly generation: number
  /** Whether nothing speaks against the new login. */
  readonly ok: boolean
  /** What was seen, for people. */
  readonly message: string
}

/** Where the page is, before its token. */
export const pagePath = '/login/'

/** Milliseconds: a token endpoint and a probe may take their time. */
const patience = 60_000

/** Logging in over the API, and by a page that needs nothing but its link. */
export function loginRoutes(sources: LoginSources, links = new LoginLinks(sources.clock)): Routes {
  return {
    '/v1/login': { method: 'POST', takes: 'json', answer: (_query, body) => begun(body, sources, links) },
    '/v1/login/code': { method: 'POST', takes: 'json', patience, answer: (_query, body) => finished(body, sources) },
    // Opened by whoever previews links too, so that opening one changes nothing.
    [pagePath]: { method: 'GET', answer: (_query, _body, token) => opened(token, links) },
    [`${pagePath}code/`]: {
      method: 'POST',
      takes: 'form',
      patience,
      answer: (_query, { code }, token) => tried(token, typeof code === 'string' ? code : '', sources, links),
    },
  }
}

/** Our own errors say what to do; what else is thrown is not for telling. */
export function problem(error: unknown): HttpAnswer {
  const { code, message } = own(error)
  return fault(409, code, message)
}

function own(error: unknown): ProxyError {
  if (!(error instanceof ProxyError)) throw error
  return error
}

function begun({ credential }: Readonly<Record<string, unknown>>, { beginLogin }: LoginSources, links: LoginLinks): HttpAnswer {
  if (typeof credential !== 'string') return fault(400, 'bad_body', 'name the credential')
  try {
    const url = beginLogin(credential)
    return json(200, { url, page: `${pagePath}${links.issue(credential, url)}` })
  } catch (error) {
    return problem(error)
  }
}

async function finished(
  { credential, code }: Readonly<Record<string, unknown>>,
  { finishLogin }: LoginSources,
): Promise<HttpAnswer> {
  if (typeof credential !== 'string' || typeof code !== 'string')
    return fault(400, 'bad_body', 'name the credential and give the code')
  try {
    return json(200, await finishLogin(credential, code))
  } catch (error) {
    return problem(error)
  }
}

function opened(token: string, links: LoginLinks): HttpAnswer {
  const link = links.find(token)
  return typeof link === 'string' ? gone(link) : formOf(token, link)
}

async function tried(token: string, code: string, sources: LoginSources, links: LoginLinks): Promise<HttpAnswer> {
  const link = links.find(token)
  if (typeof link === 'string') return gone(link)
  link.tries -= 1
  try {
    const { ok, message } = await sources.finishLogin(link.credential, code)
    links.end(token)
    return notePage(ok ? 200 : 502, ok ? 'Logged in' : 'Logged in, but not well', message)
  } catch (error) {
    const { message } = own(error)
    if (link.tries <= 0) {
      links.end(token)
      return notePage(409, 'Not logged in', `${message}. This was the last try: run iron-proxy login ${link.credential} again.`)
    }
    return again(token, link, message, sources)
  }
}

/** A code is good for one link of the provider's, so the next try has another. */
function again(token: string, link: Linked, message: string, { beginLogin }: LoginSources): HttpAnswer {
  try {
    link.url = beginLogin(link.credential)
    return formOf(token, link, `${message}. Open the link below once more and bring back its code.`)
  } catch (error) {
    return notePage(409, 'Not logged in', own(error).message)
  }
}

function formOf(token: string, { credential, url }: Linked, wrong?: string): HttpAnswer {
  return loginPage({ credential, url, action: `${pagePath}code/${token}`, problem: wrong })
}

function gone(why: 'unknown' | 'flooded'): HttpAnswer {
  return why === 'unknown'
    ? notePage(410, 'This link has ended', 'It was used, or its ten minutes are over. Run iron-proxy login again for another.')
    : notePage(429, 'Too many links that are none', 'Wait a minute, and open the link once more.')
}
