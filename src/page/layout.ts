import type { HttpAnswer } from '#admin/http.ts'
import { html } from './html.ts'
import type { Html } from './html.ts'

/** The pages, in the order of the menu. */
export const places = [
  ['/', 'Now'],
  ['/runs', 'Runs'],
  ['/credentials', 'Credentials'],
  ['/policy', 'Policy'],
  ['/health', 'Health'],
] as const

/** Our own files and nothing else: no inline script or style, no other origin, no frame. */
const headers = {
  'content-security-policy': [
    "default-src 'none'",
    "style-src 'self'",
    "script-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'referrer-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-robots-tag': 'noindex',
}

export interface Page {
  readonly title: string
  /** The entry of the menu that is this page's. */
  readonly at: string
  /** What the server's events renew. */
  readonly live?: Html | undefined
  readonly rest?: Html | undefined
  readonly status?: number
}

export function page({ title, at, live, rest, status = 200 }: Page): HttpAnswer {
  const menu = places.map(([path, name]) => html`<a href="${path}" ${path === at ? html` aria-current="page"` : ''}>${name}</a>`)
  const { text } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} – iron-proxy</title>
        <link rel="stylesheet" href="/page.css" />
        <link rel="icon" href="/icon.svg" />
        <script src="/page.js" defer></script>
      </head>
      <body>
        <a class="skip" href="#main">to the content</a>
        <header>
          <strong>iron-proxy</strong>
          <nav aria-label="pages">${at === '' ? '' : menu}</nav>
          <span id="state" class="faint" role="status"></span>
        </header>
        <main id="main">
          <h1>${title}</h1>
          ${live ? html`<div id="live" data-page="${at}">${live}</div>` : ''} ${rest}
        </main>
      </body>
    </html> `
  return { status, type: 'text/html; charset=utf-8', body: text, headers }
}

/** Back to a page after an act (RFC 9110 section 15.4.4). */
export function backTo(path: string): HttpAnswer {
  return { status: 303, type: 'text/plain', body: '', headers: { ...headers, location: path } }
}
