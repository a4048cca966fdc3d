import { html, table, time } from './html.ts'
import type { Html } from './html.ts'
import type { CredentialRow, PageSources } from './sources.ts'

/** Whose each credential is, and how it is; never a value. */
export function credentialsRest({ credentials }: PageSources): Html {
  const rows = (credentials() as readonly CredentialRow[]).map((row) => {
    const { id, kind, hosts, agents, loaded, expiresAt, needsLogin, lastRefresh, identity, warnings = [] } = row
    const scopes = row.scopes ?? identity?.scopes
    const whose =
      identity === undefined ? '–' : identity.kind === 'known' ? (identity.who ?? '') : `unknown: ${identity.reason ?? ''}`
    const state =
      needsLogin === undefined
        ? html`<span class="${loaded ? 'good' : 'warn'}">${loaded ? 'loaded' : 'no value yet'}</span>`
        : html`<span class="bad">needs login: ${needsLogin}</span>`
    const login =
      kind === 'oauth2'
        ? html`<form method="post" action="/do/login">
            <input type="hidden" name="credential" value="${id}" /><button aria-label="log ${id} in">Log in</button>
          </form>`
        : html``
    return [
      html`${id} <span class="faint">${kind}</span>`,
      html`${state}${warnings.map((warning) => html`<br /><span class="warn">${warning}</span>`)}`,
      whose,
      scopes === undefined ? '–' : scopes.join(' ') || 'none',
      time(expiresAt),
      lastRefresh === undefined ? '–' : html`${lastRefresh.result} ${time(lastRefresh.at)}`,
      html`${hosts.join(', ')} <span class="faint">for ${agents === 'all' ? 'all agents' : agents.join(', ')}</span>`,
      login,
    ]
  })
  return table('credentials', ['credential', 'state', 'whose', 'scopes', 'expires', 'last refresh', 'where', 'log in'], rows)
}
