/**
 * page/ shows operators what their agents do: server-rendered pages on the admin listener. One file a page; `layout.ts` is around each,
 * `routes.ts` says who may see them. Whatever an agent can influence goes through `html`, which escapes all that is no `Html`.
 */

/** Text that is safe in a page. Only `html` and `raw` make it. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Part = Html | string | number | undefined | readonly (Html | string)[]

/** A template whose values are escaped, for element content and quoted attributes alike. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.reduce((text, string, i) => text + textOf(parts[i - 1]) + string))
}

/** What we wrote ourselves. */
export function raw(text: string): Html {
  return new Html(text)
}

function textOf(part: Part): string {
  if (part === undefined) return ''
  if (part instanceof Html) return part.text
  if (typeof part === 'object') return part.map(textOf).join('')
  return escaped(String(part))
}

/** Control characters are no text of HTML, and marks of direction turn what is beside them. */
function escaped(text: string): string {
  return text
    .replaceAll(/[&<>"'`=]/g, (character) => `&#${character.charCodeAt(0)};`)
    .replaceAll(/[\p{Cc}\u202A-\u202E\u2066-\u2069\u200E\u200F]/gu, '\uFFFD')
}

/** A table that scrolls by itself on a narrow screen, and by keyboard. */
export function table(label: string, heads: readonly string[], rows: readonly (readonly (Html | string | number)[])[]): Html {
  if (rows.length === 0) return html`<p class="none">none</p>`
  return html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">
    <table>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

/** `2026-01-02 03:04:05 UTC`, for machines and eyes. */
export function time(at: number | string | undefined): Html {
  const date = at === undefined ? undefined : new Date(at)
  if (!date || Number.isNaN(date.getTime())) return html`–`
  const iso = date.toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`
}

export function count(number: number): string {
  return number.toLocaleString('en', { maximumFractionDigits: 0 })
}
