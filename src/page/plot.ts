/** Small line plots as SVG, with their bounds in words for who cannot see them. */
import { html, raw } from './html.ts'
import type { Html } from './html.ts'

const size = { width: 600, height: 120, left: 4, top: 4 } as const

export interface Point {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly value: number
}

/** `limit`: a line to stay below. `unit` stands behind each number. */
export function plot(title: string, unit: string, points: readonly Point[], limit?: number): Html {
  const [first] = points
  const last = points.at(-1)
  if (!first || !last || first.at === last.at) return html`<p class="none">${title}: not enough points yet</p>`
  const highest = Math.max(limit ?? 0, ...points.map(({ value }) => value))
  const top = highest > 0 ? highest : 1
  const x = (at: number) => size.left + ((at - first.at) / (last.at - first.at)) * (size.width - 2 * size.left)
  const y = (value: number) => size.height - size.top - (value / top) * (size.height - 2 * size.top)
  const line = points.map(({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ')
  const shown = (value: number) => `${value.toLocaleString('en', { maximumSignificantDigits: 4 })} ${unit}`
  const bound =
    limit === undefined
      ? ''
      : `<line class="limit" x1="0" x2="${size.width}" y1="${y(limit).toFixed(1)}" y2="${y(limit).toFixed(1)}"/>`
  const words = `${title}: ${shown(last.value)} now, at most ${shown(Math.max(...points.map(({ value }) => value)))}`
  return html`<figure>
    <svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${words}">
      ${raw(bound)}
      <polyline points="${line}" />
    </svg>
    <figcaption>
      ${words}${limit === undefined ? '' : `; limit ${shown(limit)}`}; from ${new Date(first.at).toISOString().slice(11, 19)} to
      ${new Date(last.at).toISOString().slice(11, 19)} UTC
    </figcaption>
  </figure>`
}
