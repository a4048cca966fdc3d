import { html, table, time } from './html.ts'
import type { Html } from './html.ts'
import type { PageSources } from './sources.ts'

interface Status {
  readonly running?: number
  readonly workers?: readonly Readonly<Record<string, unknown>>[]
  readonly listen?: Readonly<Record<string, string>>
  readonly ca?: {
    readonly fingerprint?: string
    readonly notAfter?: string
    readonly issuing?: { readonly fingerprint?: string; readonly notAfter?: string }
    readonly fetched?: readonly Readonly<Record<string, unknown>>[]
  }
}

/** What readiness asks, certificates, who has which bundle, workers. */
export function healthLive({ checks, status, version }: PageSources): Html {
  const { running = 0, workers = [], listen = {}, ca = {} } = status() as Status
  const rows = checks().map(({ name, ok, detail }) => [
    name,
    html`<span class="${ok ? 'good' : 'bad'}">${ok ? 'well' : (detail ?? 'not well')}</span>`,
  ])
  const certificates = [
    ['CA', ca.fingerprint ?? '–', time(ca.notAfter)],
    ['issuing', ca.issuing?.fingerprint ?? '–', time(ca.issuing?.notAfter)],
  ]
  return html`<p>version ${version}, ${running} requests under way</p>
    <h2>Checks</h2>
    ${table('checks', ['check', 'state'], rows)}
    <h2>Doors</h2>
    ${table('doors', ['door', 'listens on'], Object.entries(listen))}
    <h2>Certificates</h2>
    ${table('certificates', ['certificate', 'fingerprint', 'ends'], certificates)}
    <h2>Bundles that agents have</h2>
    ${plain('bundles', ca.fetched ?? [])}
    <h2>Workers</h2>
    ${plain('workers', workers)}`
}

/** Rows of plain data, by the names of their fields. */
function plain(label: string, rows: readonly Readonly<Record<string, unknown>>[]): Html {
  const heads = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  return table(
    label,
    heads,
    rows.map((row) => heads.map((head) => cellOf(row[head]))),
  )
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return '–'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
