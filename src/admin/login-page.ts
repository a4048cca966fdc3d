/** The page a person logs a credential in by: the provider's link, a field for the code, and what came of it. */
import { createHash } from 'node:crypto'
import type { HttpAnswer } from './http.ts'

const style =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}' +
  'input{width:100%;font:inherit;padding:.4em;margin:.4em 0;box-sizing:border-box}' +
  'button{font:inherit;padding:.4em 1em}p[role]{border-left:4px solid;padding-left:1em}'

/**
 * Nothing but the page itself and its form. `same-origin` and not `no-referrer`: with the latter browsers send the form
 * with `Origin: null` (Fetch standard, "append a request Origin header"), which is refused as another origin's.
 */
const headers = {
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'referrer-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'x-robots-tag': 'noindex',
}

export interface LoginPage {
  readonly credential: string
  /** Where the person logs in. */
  readonly url: string
  /** Where the form goes. */
  readonly action: string
  /** What went wrong before. */
  readonly problem?: string | undefined
}

/** The page with the link and the form. */
export function loginPage({ credential, url, action, problem }: LoginPage): HttpAnswer {
  return page(
    problem === undefined ? 200 : 409,
    `Log ${credential} in`,
    `${problem === undefined ? '' : told(problem)}
<ol>
<li><a href="${escaped(url)}" target="_blank" rel="noopener noreferrer">Open the provider’s page</a> and log in there.</li>
<li>Bring back the code it shows:
<form method="post" action="${escaped(action)}">
<input name="code" aria-label="Code" autocomplete="off" spellcheck="false" required maxlength="4096" autofocus>
<button>Log in</button>
</form></li>
</ol>`,
  )
}

/** The page that only says something. */
export function notePage(status: number, title: string, message: string): HttpAnswer {
  return page(status, title, told(message))
}

function page(status: number, title: string, body: string): HttpAnswer {
  const text = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)} – iron-proxy</title>
<style>${style}</style>
<h1>${escaped(title)}</h1>
${body}
</html>
`
  return { status, type: 'text/html; charset=utf-8', body: text, headers }
}

function told(message: string): string {
  return `<p role="status">${escaped(message)}</p>`
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
