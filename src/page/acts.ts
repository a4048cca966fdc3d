/** What an operator may do by the page. Each act is asked once more before it is done, and leaves a record. */
import type { HttpAnswer } from '#admin/http.ts'
import { ProxyError } from '#base/errors.ts'
import { html } from './html.ts'
import type { Html } from './html.ts'
import { backTo, page } from './layout.ts'
import type { PageSources } from './sources.ts'

type Form = Readonly<Record<string, unknown>>

/** Asks with the same form, and `sure` in it. */
function asked(title: string, question: string, action: string, form: Form, back: string): HttpAnswer {
  const fields = Object.entries(form).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${String(value)}" />`,
  )
  const rest = html`<p>${question}</p>
    <form method="post" action="${action}">
      ${fields}<input type="hidden" name="sure" value="yes" /> <button autofocus>Yes</button> <a href="${back}">No, go back</a>
    </form>`
  return page({ title, at: back, rest })
}

function said(title: string, at: string, rest: Html, status = 200): HttpAnswer {
  return page({
    title,
    at,
    status,
    rest: html`${rest}
      <p><a href="${at}">Back</a></p>`,
  })
}

export async function reload(form: Form, peer: string, sources: PageSources): Promise<HttpAnswer> {
  if (form['sure'] !== 'yes')
    return asked(
      'Read the policy again',
      'Read policies and secrets again now? A mistake in them changes nothing.',
      '/do/reload',
      {},
      '/policy',
    )
  const { ok, hash, issues } = await sources.reload()
  sources.acted({
    event: 'reloaded',
    reason: ok ? `policy ${hash?.slice(0, 12) ?? ''} is in force` : 'refused: the last good policy stays',
    peer,
  })
  if (ok) return backTo('/policy')
  return said(
    'The policy was not taken',
    '/policy',
    html`<ul>
      ${issues.map((issue) => html`<li>${String(issue)}</li>`)}
    </ul>`,
    422,
  )
}

export async function setBudget({ account, tokens, usd, sure }: Form, peer: string, sources: PageSources): Promise<HttpAnswer> {
  const named = accountOf(account)
  const amounts = { tokens: amountOf(tokens, true), usd: amountOf(usd, false) }
  if (
    !named ||
    amounts.tokens === 'wrong' ||
    amounts.usd === 'wrong' ||
    (amounts.tokens === undefined && amounts.usd === undefined)
  )
    return said(
      'Not set',
      '/',
      html`<p class="bad">Name a budget and what counts as used: whole tokens, US dollars, or both.</p>`,
      400,
    )
  const [budget, holder] = named
  const told = [
    amounts.tokens === undefined ? '' : `${amounts.tokens.toLocaleString('en')} tokens`,
    amounts.usd === undefined ? '' : `${amounts.usd} USD`,
  ]
    .filter(Boolean)
    .join(' and ')
  const who = holder === '*' ? 'its crew' : holder
  if (sure !== 'yes')
    return asked('Set a budget', `Count ${told} as used of ${budget} of ${who}?`, '/do/budget', { account, tokens, usd }, '/')
  const known = await sources
    .setBudget({ budget, agent: holder === '*' ? undefined : holder, tokens: amounts.tokens, usd: amounts.usd })
    .catch(() => undefined)
  if (!known)
    return said(
      'Not set',
      '/',
      html`<p class="bad">${known === undefined ? 'The ledger cannot be written.' : 'There is no such budget any more.'}</p>`,
      409,
    )
  sources.acted({ event: 'budget_set', reason: `${told} count as used of ${who}`, budget, peer })
  return backTo('/')
}

/** `link`: makes the link of the login page. */
export function login(
  { credential, sure }: Form,
  peer: string,
  sources: PageSources,
  link: (credential: string, url: string) => string,
): HttpAnswer {
  if (typeof credential !== 'string' || credential === '')
    return said('Not begun', '/credentials', html`<p class="bad">Name a credential.</p>`, 400)
  if (sure !== 'yes')
    return asked(
      'Log in',
      `Begin a login of ${credential}? A login that was begun before ends.`,
      '/do/login',
      { credential },
      '/credentials',
    )
  try {
    const url = sources.beginLogin(credential)
    sources.acted({ event: 'login_begun', reason: 'by the page', credential, peer })
    return backTo(link(credential, url))
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    return said('Not begun', '/credentials', html`<p class="bad">${error.message}</p>`, 409)
  }
}

function accountOf(text: unknown): readonly [string, string] | undefined {
  try {
    const value: unknown = JSON.parse(String(text))
    return Array.isArray(value) && value.length === 2 && value.every((each) => typeof each === 'string')
      ? (value as [string, string])
      : undefined
  } catch {
    return undefined
  }
}

function amountOf(text: unknown, whole: boolean): number | undefined | 'wrong' {
  const written = typeof text === 'string' ? text.trim() : ''
  if (written === '' || written === 'undefined') return undefined
  const value = /^\d{1,12}(?:\.\d{1,9})?$/.test(written) ? Number(written) : Number.NaN
  return Number.isFinite(value) && (!whole || Number.isInteger(value)) ? value : 'wrong'
}
