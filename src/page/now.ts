import type { BudgetRow } from '#admin/budgets.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { remedyOf } from '#timeline/remedy.ts'
import { count, html, table, time } from './html.ts'
import type { Html } from './html.ts'
import { plot } from './plot.ts'
import type { Point } from './plot.ts'
import type { CredentialRow, PageSources } from './sources.ts'
import type { Spend } from './spend.ts'

/** Milliseconds that "now" is. */
const recently = 60_000
const mostRefusals = 15

/** Agents, budgets, refusals, and who waits for a person. */
export async function nowLive(sources: PageSources, spend: Spend): Promise<Html> {
  const now = sources.clock.now()
  const records = sources.recent()
  const budgets = await sources.budgets().catch(() => undefined)
  return html`${waiting(sources)}
    <h2>Agents</h2>
    ${agents(sources, records, now)}
    <h2>Requests</h2>
    ${traffic(records, now)}
    <h2>Budgets</h2>
    ${budgets ? budgets.map((row) => budget(row, spend, now)) : html`<p class="bad">the ledger cannot be read</p>`}${budgets?.length === 0 ? html`<p class="none">none</p>` : ''}
    <h2>Refused</h2>
    ${refusals(records)}`
}

/** Logins that only a person can help. */
function waiting({ credentials }: PageSources): Html {
  const rows = (credentials() as readonly CredentialRow[]).filter(({ needsLogin }) => needsLogin !== undefined)
  if (rows.length === 0) return html``
  return html`<h2>Waiting for a person</h2>
    <ul>
      ${rows.map(({ id, needsLogin = '' }) => html`<li class="bad"><a href="/credentials">log ${id} in</a>: ${needsLogin}</li>`)}
    </ul>`
}

function agents({ snapshot }: PageSources, records: readonly AuditRecord[], now: number): Html {
  const rows = [...(snapshot()?.policy.agents.values() ?? [])].map(({ id, mode }) => {
    const own = records.filter(({ agent }) => agent === id)
    const minute = own.filter(({ time: at, type }) => type !== 'dns' && now - Date.parse(at) < recently)
    const last = own.findLast(({ type }) => type !== 'dns')
    const does = last
      ? html`${last.method ?? last.type} ${last.host ?? ''}${(last.path ?? '').slice(0, 80)}`
      : html`<span class="none">nothing yet</span>`
    const run = last?.runId === undefined ? html`–` : html`<a href="/runs/${encodeURIComponent(last.runId)}">${last.runId}</a>`
    const refused = minute.filter(({ verdict }) => verdict !== 'allow').length
    return [id, mode, does, time(last?.time), run, `${count(minute.length)} requests, ${count(refused)} refused`]
  })
  return table('agents', ['agent', 'mode', 'last did', 'at', 'run', 'last minute'], rows)
}

function traffic(records: readonly AuditRecord[], now: number): Html {
  const requests = records.filter(({ type }) => type === 'request' || type === 'upgrade')
  const oldest = requests[0] ? Date.parse(requests[0].time) : now
  // The memory of the last records may be shorter than a minute.
  const span = Math.max(1_000, Math.min(recently, now - oldest))
  const minute = requests.filter(({ time: at }) => now - Date.parse(at) < span)
  const points: readonly Point[] = requests.flatMap(({ time: at, ttfb }) =>
    ttfb === undefined ? [] : [{ at: Date.parse(at), value: ttfb }],
  )
  return html`<p>
      ${(minute.length / (span / 1_000)).toLocaleString('en', { maximumFractionDigits: 1 })} requests a second over the last
      ${Math.round(span / 1_000)} s
    </p>
    ${plot(
      'Until the first byte of the reply',
      'ms',
      points.toSorted((a, b) => a.at - b.at),
    )}`
}

function budget(row: BudgetRow, spend: Spend, now: number): Html {
  const holder = row.holder === '*' ? 'its crew' : row.holder
  const parts = (['tokens', 'usd'] as const).flatMap((measure) => {
    const { limit, used, reserved } = row[measure]
    if (limit === null) return []
    const unit = measure === 'usd' ? 'USD' : 'tokens'
    const shown = (value: number) => (measure === 'usd' ? value.toFixed(4) : count(value))
    const burn = spend.burn(row, measure, now)
    const rate = burn ? `; ${shown(Math.max(0, burn.hourly))} ${unit} an hour` : ''
    const share = limit === 0 ? 1 : used / limit
    return [
      html`<p>
          <meter
            min="0"
            max="1"
            low="0.8"
            high="0.95"
            optimum="0"
            value="${Math.min(1, share).toFixed(3)}"
            aria-label="${row.budget} of ${holder}, ${unit}"
          ></meter>
          ${shown(used)} of ${shown(limit)} ${unit} used (${Math.round(share * 100)} %), ${shown(reserved)}
          held${rate}${burn?.endsAt === undefined ? '' : html`; <strong class="bad">used up ${time(burn.endsAt)}</strong>`}
        </p>
        ${plot(`${row.budget} of ${holder}`, unit, spend.points(row, measure, now), limit)}`,
    ]
  })
  return html`<h3>${row.budget} of ${holder}</h3>
    <p class="faint">a ${row.window}, since ${row.started}, begins anew ${row.resets}</p>
    ${parts}`
}

function refusals(records: readonly AuditRecord[]): Html {
  const found = records.filter(({ verdict, type }) => type !== 'dns' && (verdict === 'deny' || verdict === 'would_deny'))
  const rows = found
    .slice(-mostRefusals)
    .toReversed()
    .map((record) => [
      time(record.time),
      record.agent ?? '–',
      html`${record.method ?? record.type} ${record.host ?? ''}${(record.path ?? '').slice(0, 120)}`,
      record.code ?? '',
      html`<code>${remedyOf(record) ?? ''}</code>`,
    ])
  return table('refusals', ['at', 'agent', 'asked', 'code', 'what would allow it'], rows)
}

/** The form beside the budgets; the events do not renew it. */
export function budgetForm(rows: readonly BudgetRow[]): Html {
  if (rows.length === 0) return html``
  const options = rows.map(
    ({ budget: name, holder }) =>
      html`<option value="${JSON.stringify([name, holder])}">${name} of ${holder === '*' ? 'its crew' : holder}</option>`,
  )
  return html`<h2>Set what counts as used</h2>
    <form method="post" action="/do/budget">
      <label
        >Budget
        <select name="account">
          ${options}
        </select></label
      >
      <label>Tokens <input name="tokens" inputmode="numeric" size="10" /></label>
      <label>USD <input name="usd" inputmode="decimal" size="8" /></label> <button>Set</button>
    </form>`
}
