/** The Grafana dashboard, made from the metrics there are: a new metric has a panel without anybody drawing one. */

/** A metric as its registry describes it. */
export interface Described {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  readonly labelNames: readonly string[]
}

/** Rows in their order, each with the names that belong to it; the first that matches has the metric. */
const rows: readonly (readonly [title: string, names: RegExp])[] = [
  ['Requests', /^ironproxy_(?:requests?|upstream|connections|transfer)_/],
  ['Budgets', /_(?:budget|llm)_/],
  ['Credentials', /_(?:credential|oauth|swaps|stub|real|scrubbed|token_calls|secret)/],
  ['Refusals and failures', /_(?:denials|failures)_/],
  ['DNS, TLS and identity', /_(?:dns|tls|ca|identity|kube)_/],
  ['Policy and audit', /_(?:config|audit|build)_/],
  ['Process', /^(?:process|nodejs|ironproxy_(?:workers?|ready))_?/],
  ['More', /./],
]

/** Of the runtime's own metrics, what an operator looks at. */
const runtime = new Set([
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'process_open_fds',
  'nodejs_eventloop_lag_p99_seconds',
  'nodejs_heap_size_used_bytes',
])

const width = 24
const panelHeight = 8
const panelsInRow = 3

/** The dashboard as Grafana imports it; the same for the same metrics. */
export function dashboardOf(metrics: readonly Described[]): object {
  const shown = metrics.filter(({ name }) => name.startsWith('ironproxy_') || runtime.has(name))
  const panels: object[] = []
  let y = 0
  for (const [title, own] of grouped(shown)) {
    panels.push({ id: panels.length + 1, type: 'row', title, collapsed: false, gridPos: { x: 0, y, w: width, h: 1 }, panels: [] })
    y += 1
    for (const [i, metric] of own.entries()) {
      const gridPos = {
        x: (i % panelsInRow) * (width / panelsInRow),
        y: y + Math.floor(i / panelsInRow) * panelHeight,
        w: width / panelsInRow,
        h: panelHeight,
      }
      panels.push({ id: panels.length + 1, ...panelOf(metric), gridPos })
    }
    y += Math.ceil(own.length / panelsInRow) * panelHeight
  }
  return {
    uid: 'iron-proxy',
    title: 'iron-proxy',
    description: 'What agents do, what it costs, what is refused, and how the proxy is.',
    tags: ['iron-proxy'],
    schemaVersion: 39,
    editable: true,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: variables },
    panels,
  }
}

function grouped(metrics: readonly Described[]): readonly (readonly [string, readonly Described[]])[] {
  const rowOf = (name: string): string => rows.find(([, names]) => names.test(name))?.[0] ?? ''
  return rows
    .map(([title]) => [title, metrics.filter(({ name }) => rowOf(name) === title)] as const)
    .filter(([, own]) => own.length > 0)
}

function panelOf(metric: Described): object {
  const { name, help } = metric
  return {
    type: 'timeseries',
    title: titleOf(name),
    description: `${help} \`${name}\``,
    datasource: { type: 'prometheus', uid: '${datasource}' },
    fieldConfig: { defaults: { unit: unitOf(metric), custom: { fillOpacity: 10, showPoints: 'never' } }, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: queriesOf(metric).map(({ expr, legend }, i) => ({
      refId: String.fromCodePoint(65 + i),
      expr,
      legendFormat: legend,
    })),
  }
}

/** The queries of a metric: a rate, a level, or two quantiles; by its own labels, over all replicas. */
function queriesOf({ name, type, labelNames }: Described): readonly { readonly expr: string; readonly legend: string }[] {
  const labels = labelNames.filter((label) => !unhelpful.has(label))
  const chosen = [
    'namespace=~"$namespace"',
    // Everybody has these.
    ...(runtime.has(name) ? ['job="iron-proxy"'] : []),
    ...(labelNames.includes('agent') ? ['agent=~"$agent"'] : []),
  ]
  const selector = `{${chosen.join(', ')}}`
  const by = (more: readonly string[] = []): string => [...labels, ...more].join(', ')
  const legend = labels.map((label) => `{{${label}}}`).join(' ')
  if (type === 'histogram') {
    const quantile = (q: number) => ({
      expr: `histogram_quantile(${q}, sum by (${by(['le'])}) (rate(${name}_bucket${selector}[$__rate_interval])))`,
      legend: `p${q * 100} ${legend}`,
    })
    return [quantile(0.5), quantile(0.95)]
  }
  if (type === 'counter') {
    const rate = `rate(${name}${selector}[$__rate_interval])`
    return [labels.length > 0 ? { expr: `sum by (${by()}) (${rate})`, legend } : { expr: rate, legend: '{{pod}}' }]
  }
  const own = name.startsWith('ironproxy_') && labels.length > 0
  // Every replica reports the same balance, expiry and state: the largest, never the sum.
  if (own) return [{ expr: `max by (${by()}) (${name}${selector}${sinceEpoch(name)})`, legend }]
  return [{ expr: `${name}${selector}${sinceEpoch(name)}`, legend: '{{pod}}' }]
}

/** Labels that would make a line each without saying more. */
const unhelpful: ReadonlySet<string> = new Set(['proto', 'rule', 'window'])

/** A point in time is shown as how far away it is. */
function sinceEpoch(name: string): string {
  return name.endsWith('_timestamp_seconds') ? ' - time()' : ''
}

/** Grafana's word for the unit that a name ends in; a counter is shown by the second. */
function unitOf({ name, type }: Described): string {
  const counted = type === 'counter'
  if (/_bytes(?:_total)?$/.test(name)) return counted ? 'Bps' : 'bytes'
  if (/_dollars(?:_total)?$/.test(name)) return 'currencyUSD'
  if (name === 'process_cpu_seconds_total') return 'none'
  if (name.endsWith('_seconds')) return 's'
  if (name.endsWith('_ratio')) return 'percentunit'
  return counted ? 'cps' : 'short'
}

function titleOf(name: string): string {
  const words = name
    .replace(/^ironproxy_/, '')
    .replace(/_(?:total|seconds|timestamp_seconds)$/, '')
    .replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

const variables = [
  { name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Data source' },
  chooser('namespace', 'label_values(ironproxy_build_info, namespace)'),
  chooser('agent', 'label_values(ironproxy_requests_total{namespace=~"$namespace"}, agent)'),
]

function chooser(name: string, query: string): object {
  return {
    name,
    type: 'query',
    label: name.charAt(0).toUpperCase() + name.slice(1),
    datasource: { type: 'prometheus', uid: '${datasource}' },
    query: { query, refId: name },
    refresh: 2,
    sort: 1,
    includeAll: true,
    // Matches a series without the label too, as of a scrape outside of a cluster.
    allValue: '.*',
    multi: true,
    current: { text: 'All', value: '$__all' },
  }
}
