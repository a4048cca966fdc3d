import type { IncomingMessage } from 'node:http'
import type { HttpAnswer, Route, Routes, Stream } from '#admin/http.ts'
import { text } from '#admin/http.ts'
import { LoginLinks } from '#admin/login-links.ts'
import { pagePath } from '#admin/login-routes.ts'
import type { Pages } from '#admin/server.ts'
import type { Secret } from '#base/secret.ts'
import { login, reload, setBudget } from './acts.ts'
import { css, icon, script } from './assets.ts'
import { credentialsRest } from './credentials.ts'
import { healthLive } from './health.ts'
import { html } from './html.ts'
import type { Html } from './html.ts'
import { backTo, page } from './layout.ts'
import { budgetForm, nowLive } from './now.ts'
import { Before, policyRest } from './policy.ts'
import { runLive, runsLive } from './runs.ts'
import { PageSessions } from './sessions.ts'
import type { PageSources } from './sources.ts'
import { Spend } from './spend.ts'

/** Milliseconds between two looks of an open page, and the most pages that are kept up to date at once. */
const renew = 2_000
const mostStreams = 16

/** What anyone may have: it says nothing of this proxy. */
const open: ReadonlySet<string> = new Set(['/page.css', '/page.js', '/icon.svg', '/session'])

/** The pages, and who may see them. `stop` ends the samples of spend. */
export function pages(sources: PageSources): Pages & { readonly stop: () => void } {
  const links = new LoginLinks(sources.clock)
  const spend = new Spend()
  const before = new Before()
  const sessions = new PageSessions(sources.clock)
  let token: Secret | undefined
  let streams = 0
  spend.start(sources.budgets, () => sources.clock.now())

  const live: Readonly<Record<string, () => Promise<Html> | Html>> = {
    '/': () => nowLive(sources, spend),
    '/runs': () => runsLive(sources),
    '/health': () => healthLive(sources),
  }
  const shown = (path: string, title: string, rest?: () => Promise<Html>): Route => ({
    method: 'GET',
    answer: async () => page({ title, at: path, live: await live[path]?.(), rest: await rest?.() }),
  })
  const act = (answer: Route['answer']): Route => ({ method: 'POST', takes: 'form', answer })

  /** Fragments of a page as they change, for as long as it is open. */
  const events =
    (render: () => Promise<Html | undefined> | Html): Stream =>
    (send) => {
      streams += 1
      let last = ''
      let busy = false
      const look = async () => {
        if (busy) return
        busy = true
        const fragment = JSON.stringify((await Promise.resolve(render()).catch(() => undefined))?.text ?? '')
        busy = false
        // What is not sent now is sent with the next look.
        if (fragment !== '""' && fragment !== last && send(`event: live\ndata: ${fragment}\n\n`)) last = fragment
        else send(': \n\n')
      }
      const timer = setInterval(() => void look(), renew)
      return () => {
        streams -= 1
        clearInterval(timer)
      }
    }
  const routes: Routes = {
    '/': shown('/', 'Now', async () => budgetForm(await sources.budgets().catch(() => []))),
    '/runs': shown('/runs', 'Runs'),
    '/runs/': {
      method: 'GET',
      async answer(_query, _body, last) {
        const id = decoded(last)
        const timeline = await runLive(id, sources)
        return page({
          title: `Run ${id}`,
          at: '/runs',
          status: timeline ? 200 : 404,
          rest:
            timeline ?? html`<p>Nothing is known of this run any more; <code>iron-proxy runs show</code> reads all files.</p>`,
        })
      },
    },
    '/credentials': {
      method: 'GET',
      answer: () => page({ title: 'Credentials', at: '/credentials', rest: credentialsRest(sources) }),
    },
    '/policy': {
      method: 'GET',
      async answer(query) {
        const asked = { agent: query.get('agent') ?? '', method: query.get('method') ?? 'GET', url: query.get('url') ?? '' }
        return page({ title: 'Policy', at: '/policy', rest: await policyRest(sources, before, asked) })
      },
    },
    '/health': shown('/health', 'Health'),
    '/events': {
      method: 'GET',
      answer(query) {
        const render = live[query.get('page') ?? '']
        if (!render) return page({ title: 'There is no such page', at: '', status: 404 })
        if (streams >= mostStreams) return page({ title: 'Too many pages are open', at: '', status: 503 })
        return { status: 200, type: 'text/event-stream', body: `retry: ${renew}\n\n`, stream: events(render) }
      },
    },
    '/page.css': { method: 'GET', answer: () => text(css, 'text/css; charset=utf-8') },
    '/page.js': { method: 'GET', answer: () => text(script, 'text/javascript; charset=utf-8') },
    '/icon.svg': { method: 'GET', answer: () => text(icon, 'image/svg+xml') },
    '/session': act((_query, { token: given }) => {
      const cookie = token && sessions.open(typeof given === 'string' ? given : '', token)
      if (cookie === undefined) return signIn('That is not the token, or too many were not within a minute.')
      const back = backTo('/')
      return { ...back, headers: { ...back.headers, 'set-cookie': cookie } }
    }),
    '/do/reload': act((_query, form, _last, peer) => reload(form, peer, sources)),
    '/do/budget': act((_query, form, _last, peer) => setBudget(form, peer, sources)),
    '/do/login': act((_query, form, _last, peer) =>
      login(form, peer, sources, (credential, url) => `${pagePath}${links.issue(credential, url)}`),
    ),
  }
  return {
    routes,
    links,
    refusal(request, asked) {
      token = asked
      const path = pathOf(request)
      const above = path.slice(0, path.lastIndexOf('/') + 1)
      if (!Object.hasOwn(routes, path) && !(above !== '/' && Object.hasOwn(routes, above))) return 'none'
      return open.has(path) || sessions.holds(request) ? undefined : signIn()
    },
    stop: () => spend.stop(),
  }
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? ''
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Not 401: a browser would ask for a password in a window of its own. */
function signIn(problem?: string): HttpAnswer {
  return page({
    title: 'Sign in',
    at: '',
    status: 403,
    rest: html`${problem === undefined ? '' : html`<p class="bad" role="alert">${problem}</p>`}
      <form method="post" action="/session">
        <label>Admin token <input type="password" name="token" autocomplete="off" required autofocus /></label>
        <button>Sign in</button>
      </form>`,
  })
}
