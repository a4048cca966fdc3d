import { RunHistory, timelineOf } from '#timeline/runs.ts'
import { causeText, countsText, stepText } from '#timeline/step-text.ts'
import type { Mood } from '#timeline/step-text.ts'
import { count, html, raw, table, time } from './html.ts'
import type { Html } from './html.ts'
import type { PageSources } from './sources.ts'

const mostRuns = 100
const mostSteps = 1_000
const classes: Readonly<Record<Mood, string>> = { plain: '', good: 'good', refused: 'warn', wrong: 'bad' }

/** The latest runs. */
export async function runsLive({ lines }: PageSources): Promise<Html> {
  const found = new RunHistory()
  for (const line of await lines()) found.add(line)
  const rows = found
    .summaries()
    .slice(0, mostRuns)
    .map((run) => [
      html`<a href="/runs/${encodeURIComponent(run.id)}">${run.id}</a>`,
      run.agent ?? '–',
      run.state,
      time(run.began),
      causeText(run.by) || (run.label ?? ''),
      countsText(run),
      links(run.links),
    ])
  return html`${table('runs', ['run', 'agent', 'state', 'began', 'set off by', 'counted', 'came of it'], rows)}
    <p class="faint">of the last records and the end of the files; <code>iron-proxy runs</code> reads all</p>`
}

/** One run, step by step. `undefined`: nothing is known of it. */
export async function runLive(id: string, { lines }: PageSources): Promise<Html | undefined> {
  const { summary, steps } = timelineOf(id, await lines())
  if (!summary) return undefined
  const rows = steps.slice(-mostSteps).map((step) => {
    const { what, text, mood } = stepText(step)
    const name = classes[mood]
    return [time(step.at), step.from, name === '' ? what : html`<span class="${name}">${what}</span>`, text]
  })
  const left = steps.length - rows.length
  return html`<dl>
      <dt>agent</dt>
      <dd>${summary.agent ?? '–'}</dd>
      <dt>state</dt>
      <dd>${summary.state}, ${time(summary.began)} to ${time(summary.ended)}</dd>
      <dt>set off by</dt>
      <dd>${causeText(summary.by) || '–'}</dd>
      <dt>counted</dt>
      <dd>${countsText(summary) || 'nothing'}</dd>
      <dt>came of it</dt>
      <dd>${links(summary.links)}</dd>
    </dl>
    ${left > 0 ? html`<p class="faint">${count(left)} earlier steps are left out</p>` : ''}${table('timeline', ['at', 'from', 'what', 'step'], rows)}`
}

/** Only GitHub's own addresses of pull requests and issues get here. */
function links(found: readonly string[]): Html {
  return found.length === 0
    ? raw('–')
    : html`${found.map((link) => html`<a href="${link}" rel="noopener noreferrer">${link.slice('https://github.com/'.length)}</a> `)}`
}
