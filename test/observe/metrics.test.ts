import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { errorTable, type ErrorCode } from '#base/errors.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { createMetrics, type Metrics } from '#observe/metrics.ts'
import { have } from '../kit/clients.ts'
import { record } from './records.ts'

const build = { version: '1.2.3', revision: 'abc', node: 'v26.0.0' }

async function folded(...records: Partial<AuditRecord>[]): Promise<string[]> {
  const metrics = createMetrics(build)
  for (const each of records) metrics.observe(record(each))
  return series(metrics)
}

/** Every series but buckets, without the prefix and without what is there from the start. */
async function series(metrics: Metrics): Promise<string[]> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#') && !/_bucket/.test(line))
  return lines
    .map((line) => line.replace(/^ironproxy_/, ''))
    .filter((line) => !/^(build_info|config_last|tls_leaf_cache|workers|worker_restarts)/.test(line))
}

function time(name: string, seconds: number): string[] {
  return [`${name}_sum{code_class="2xx",door="https"} ${seconds}`, `${name}_count{code_class="2xx",door="https"} 1`]
}

test('requests that wait for room are shown by budget, and gone when nobody waits', async () => {
  const metrics = createMetrics(build)
  let waiting: Record<string, number> = { day: 3 }
  metrics.watch({ budgetWaiting: () => waiting })
  expect(await series(metrics)).toContain('budget_waiting_requests{budget="day"} 3')
  waiting = {}
  expect((await series(metrics)).filter((line) => line.startsWith('budget_waiting'))).toEqual([])
})

test('an ordinary record counts as one that is looked at field by field', async () => {
  const usage = { meter: 'openai', model: 'gpt', input: 5, output: 7, usd: 0.25 } as const
  const swaps = (['header:authorization', 'query:key'] as const).map((place) => ({ credential: 'github', place }))
  const ordinary = { swaps, usage, ttfb: 8, bytesUp: 10, bytesDown: 20 }
  // A record with a count is none of the ordinary ones.
  expect(await folded(ordinary, {}, ordinary)).toEqual(
    await folded({ ...ordinary, count: 1 }, { count: 1 }, { ...ordinary, count: 1 }),
  )
})

describe('a record is folded', () => {
  const request = 'requests_total{agent="devbot",rule="github-api",action="allow",code_class="2xx",door="https"} 1'

  test.each<[string, Partial<AuditRecord>, string[]]>([
    ['a request', { ttfb: 8 }, [request, ...time('request_duration_seconds', 0.012), ...time('upstream_ttfb_seconds', 0.008)]],
    [
      'bytes both ways',
      { bytesUp: 10, bytesDown: 20 },
      ['transfer_bytes_total{agent="devbot",direction="up"} 10', 'transfer_bytes_total{agent="devbot",direction="down"} 20'],
    ],
    [
      'an unknown agent that no rule knows',
      { agent: null, rule: undefined, verdict: 'deny', code: 'agent_unknown', status: 403 },
      [
        'requests_total{agent="unknown",rule="none",action="deny",code_class="4xx",door="https"} 1',
        'denials_total{agent="unknown",layer="http",code="agent_unknown"} 1',
      ],
    ],
    [
      'a wait for room in a budget, and what became of it',
      { waited: 2_500 },
      ['budget_wait_seconds_sum{result="held"} 2.5', 'budget_wait_seconds_count{result="held"} 1'],
    ],
    [
      'a wait that ended in a refusal',
      { waited: 30_000, verdict: 'deny', code: 'budget_busy', status: 503, budget: 'day' },
      ['budget_wait_seconds_sum{result="refused"} 30', 'budget_denials_total{agent="devbot",budget="day"} 1'],
    ],
    [
      'a charge of a reply that says that the provider failed',
      { usage: { meter: 'openrouter', model: 'other', input: 0, output: 0, estimated: true, charged: 'failed' } },
      ['llm_usage_missing_total{provider="openrouter",reason="failed"} 1'],
    ],
    [
      'swaps, by where they were made',
      {
        swaps: [
          { credential: 'github', place: 'header:authorization' },
          { credential: 'maps', place: 'query:key' },
          { credential: 'maps', place: 'query:body' },
          { credential: 'chat', place: 'body:/token' },
          { credential: 'chat', place: 'body:query:header' },
        ],
      },
      [
        'swaps_total{agent="devbot",credential="github",place="header"} 1',
        'swaps_total{agent="devbot",credential="maps",place="query"} 2',
        'swaps_total{agent="devbot",credential="chat",place="body"} 2',
      ],
    ],
    [
      'a stub on the wrong host',
      { verdict: 'deny', code: 'stub_wrong_host', credential: 'github', status: 403 },
      [
        'denials_total{agent="devbot",layer="http",code="stub_wrong_host"} 1',
        'stub_misuse_total{agent="devbot",credential="github",code="stub_wrong_host"} 1',
      ],
    ],
    [
      'a real value from an agent',
      { verdict: 'deny', code: 'real_value_seen', credential: 'github', status: 403 },
      ['real_credential_seen_total{agent="devbot",credential="github"} 1'],
    ],
    ['what was scrubbed', { scrubbed: { github: 3 } }, ['scrubbed_total{credential="github"} 3']],
    [
      'a failure of the upstream',
      { verdict: 'error', code: 'upstream_timeout', status: 504 },
      [
        'requests_total{agent="devbot",rule="github-api",action="error",code_class="5xx",door="https"} 1',
        'failures_total{layer="http",code="upstream_timeout"} 1',
      ],
    ],
    [
      'what report mode let through',
      { verdict: 'would_deny', code: 'host_denied', rule: undefined },
      ['requests_total{agent="devbot",rule="none",action="would_deny",code_class="2xx",door="https"} 1'],
    ],
    [
      'a refused CONNECT',
      { type: 'tunnel', door: 'proxy', verdict: 'deny', code: 'host_denied', status: 403 },
      ['denials_total{agent="devbot",layer="connect",code="host_denied"} 1'],
    ],
    [
      'a refused name in a greeting',
      { type: 'tunnel', verdict: 'deny', code: 'tls_denied_flood', status: undefined },
      ['denials_total{agent="devbot",layer="tls",code="tls_denied_flood"} 1'],
    ],
    [
      'a greeting without a name',
      { type: 'tls', agent: null, verdict: 'error', code: 'tls_no_sni', status: undefined },
      ['failures_total{layer="tls",code="tls_no_sni"} 1', 'tls_handshake_failures_total{side="client",reason="no_sni"} 1'],
    ],
    [
      'a client that distrusts our CA',
      { type: 'tls', verdict: 'error', code: 'tls_handshake', reason: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', status: undefined },
      ['tls_handshake_failures_total{side="client",reason="unknown_ca"} 1'],
    ],
    [
      'an upstream whose certificate has expired',
      { verdict: 'error', code: 'upstream_tls', reason: 'CERT_HAS_EXPIRED', status: 502 },
      ['tls_handshake_failures_total{side="upstream",reason="expired"} 1'],
    ],
    [
      'repeated DNS questions written once',
      {
        type: 'dns',
        door: 'dns',
        verdict: 'deny',
        code: 'host_denied',
        count: 40,
        dns: { qtype: 'A', rcode: 'NOERROR', outcome: 'sinkhole', proto: 'udp' },
      },
      [
        'dns_requests_total{proto="udp",qtype="A",outcome="sinkhole",rcode="NOERROR"} 40',
        'denials_total{agent="devbot",layer="dns",code="host_denied"} 40',
      ],
    ],
  ])('%s', async (_, some, expected) => {
    expect(await folded(some)).toEqual(expect.arrayContaining(expected))
  })

  test('a credential that only a login helps is a failure of its own, and no request', async () => {
    const some = { type: 'credential', agent: null, door: 'self', credential: 'claude', bytesUp: 0, duration: 0 } as const
    const lines = await folded(
      { ...some, event: 'needs_login', verdict: 'error', code: 'needs_login' },
      { ...some, event: 'recovered', verdict: 'allow' },
    )
    expect(lines).toEqual(['failures_total{layer="credential",code="needs_login"} 1'])
  })

  test('tunnels, TLS and DNS are no requests', async () => {
    const types = ['tunnel', 'tls', 'dns'] as const
    expect((await folded(...types.map((type) => ({ type })))).filter((line) => line.startsWith('request'))).toEqual([])
  })

  test('an upgrade is one request, whose end is counted when it ends', async () => {
    const swaps = [{ credential: 'github', place: 'header:authorization' }] as const
    const upgrade = { type: 'upgrade', status: 101, swaps, scrubbed: { github: 1 }, bytesUp: 5, bytesDown: 0 } as const
    const opened = await folded({ ...upgrade, event: 'open' })
    expect(opened).toEqual([
      'requests_total{agent="devbot",rule="github-api",action="allow",code_class="1xx",door="https"} 1',
      'swaps_total{agent="devbot",credential="github",place="header"} 1',
    ])
    const whole = await folded(
      { ...upgrade, event: 'open' },
      { ...upgrade, event: 'close', verdict: 'deny', code: 'policy_changed' },
    )
    expect(whole.toSorted()).toEqual(
      [
        ...opened,
        'transfer_bytes_total{agent="devbot",direction="up"} 5',
        'scrubbed_total{credential="github"} 1',
        'denials_total{agent="devbot",layer="http",code="policy_changed"} 1',
      ].toSorted(),
    )
  })

  test('every code of the table can be folded', async () => {
    const codes = Object.keys(errorTable) as ErrorCode[]
    const lines = await folded(...codes.map((code) => ({ verdict: 'deny', code }) as const))
    expect(lines.filter((line) => line.startsWith('denials_total'))).toHaveLength(codes.length)
  })
})

test('what agents choose makes no new series', async () => {
  const metrics = createMetrics(build)
  const hostile = (index: number): Partial<AuditRecord> => ({
    host: `${index}.example.com`,
    path: `/${index}`,
    method: `M${index}`,
    peer: `10.0.0.${index}`,
    protocol: `p${index}`,
    reason: `r${index}`,
    status: index % 600,
    type: index % 2 ? 'dns' : 'request',
    dns: index % 2 ? { qtype: `TYPE${index}`, rcode: 'NOERROR', outcome: 'blocked', proto: 'udp' } : undefined,
    runId: String(index),
    upstream: String(index),
  })
  for (let index = 0; index < 2000; index += 1) metrics.observe(record(hostile(index)))
  const before = (await metrics.text()).split('\n').length
  for (let index = 2000; index < 6000; index += 1) metrics.observe(record(hostile(index)))
  expect((await metrics.text()).split('\n')).toHaveLength(before)
})

test('a name that should have come from the policy and did not is bounded all the same', async () => {
  const metrics = createMetrics(build)
  for (let index = 0; index < 3000; index += 1) metrics.observe(record({ agent: `agent${index}` }))
  const agents = (await series(metrics)).filter((line) => line.startsWith('requests_total'))
  expect(agents).toHaveLength(1001)
  expect(agents.at(-1)).toBe('requests_total{agent="other",rule="github-api",action="allow",code_class="2xx",door="https"} 2000')
})

test('a label cannot break out of its line', async () => {
  const metrics = createMetrics(build)
  metrics.observe(record({ agent: 'a"} 1\nforged 1\n#\\' }))
  expect((await metrics.text()).split('\n')).not.toContain('forged 1')
})

test('reloads show whether, when and what', async () => {
  const metrics = createMetrics(build)
  const config = async () => (await metrics.text()).split('\n').filter((line) => line.startsWith('ironproxy_config'))
  expect(await config()).toContain('ironproxy_config_last_reload_successful 0')
  metrics.reloaded({ trigger: 'start', ok: true, hash: 'aaa', at: 1_700_000_000_000 })
  metrics.reloaded({ trigger: 'watch', ok: true, hash: 'bbb', at: 1_700_000_060_000 })
  metrics.reloaded({ trigger: 'watch', ok: false, hash: 'bbb', at: 1_700_000_120_000 })
  expect(await config()).toEqual([
    'ironproxy_config_last_reload_successful 0',
    'ironproxy_config_last_reload_success_timestamp_seconds 1700000060',
    'ironproxy_config_reloads_total{trigger="start",result="ok"} 1',
    'ironproxy_config_reloads_total{trigger="watch",result="ok"} 1',
    'ironproxy_config_reloads_total{trigger="watch",result="error"} 1',
    'ironproxy_config_info{hash="bbb"} 1',
  ])
})

test('gauges of other rooms are asked at each scrape, and what is gone leaves no series', async () => {
  const metrics = createMetrics(build)
  let connections: Record<string, number> = { http: 2, tunnel: 1 }
  metrics.watch({ connections: () => connections, leafCacheEntries: () => 7 })
  metrics.watch({ auditQueue: () => ({ stdout: 3 }), caExpiry: () => ({ root: 1_700_000_000_000 }) })
  const text = await metrics.text()
  for (const line of [
    'connections_active{kind="http"} 2',
    'tls_leaf_cache_entries 7',
    'audit_queue_depth{sink="stdout"} 3',
    'ca_expiry_timestamp_seconds{role="root"} 1700000000',
  ]) {
    expect(text).toContain(`\nironproxy_${line}\n`)
  }
  connections = { http: 1 }
  const later = await metrics.text()
  expect(later).toContain('\nironproxy_connections_active{kind="http"} 1\n')
  expect(later).not.toContain('kind="tunnel"')
})

test('the rest counts by its own calls', async () => {
  const metrics = createMetrics(build)
  metrics.secretReadFailed('github')
  metrics.leafMinted('refused')
  metrics.auditResult('file', 'dropped', 4)
  const lines = await series(metrics)
  expect(lines).toContain('secret_read_errors_total{credential="github"} 1')
  expect(lines).toContain('tls_leafs_minted_total{result="refused"} 1')
  expect(lines).toContain('audit_events_total{sink="file",result="dropped"} 4')
  expect(await metrics.text()).toContain('ironproxy_build_info{version="1.2.3",revision="abc",node_version="v26.0.0"} 1')
})

test('the canary of an exchange is in no metric', async () => {
  const canary = randomBytes(16).toString('hex')
  const metrics = createMetrics(build)
  metrics.observe(
    record({
      host: canary,
      path: canary,
      reason: canary,
      upstream: canary,
      method: canary,
      swaps: [{ credential: 'github', place: `header:${canary}` }],
    }),
  )
  expect(await metrics.text()).not.toContain(canary)
})

describe('the exposition', () => {
  const metrics = createMetrics(build, { runtime: true })
  metrics.observe(record({ ttfb: 1, swaps: [{ credential: 'github', place: 'header:authorization' }] }))

  test('keeps to the naming rules of Prometheus', async () => {
    const text = await metrics.text()
    const kinds = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', kind]) => ({ name, kind }))
    const ours = kinds.filter(({ name }) => name.startsWith('ironproxy_'))
    expect(ours.length).toBeGreaterThan(20)
    for (const { name, kind } of kinds) {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/)
      expect(name.endsWith('_total'), name).toBe(kind === 'counter')
      expect(name, 'times are in seconds').not.toMatch(/milliseconds|_ms(_|$)|minutes|kilobytes|megabytes/)
    }
    for (const { name, kind } of ours.filter((each) => each.kind === 'histogram')) expect(name, kind).toMatch(/_seconds$/)
    const helps = [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(([, name]) => name)
    expect(helps).toEqual(kinds.map(({ name }) => name))
    expect(new Set(helps).size).toBe(helps.length)
  })

  test('histograms leave the agent out', async () => {
    expect((await metrics.text()).split('\n').filter((line) => /_bucket\{.*agent=/.test(line))).toEqual([])
  })

  test.skipIf(!have('promtool'))('passes promtool check metrics (skipped without promtool)', async () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: await metrics.text(),
      encoding: 'utf8',
    })
    expect(stdout + stderr).toBe('')
    expect(status).toBe(0)
  })
})

test('a state that replicas share says whether it can be asked, and one that is a file leaves no series', async () => {
  const metrics = createMetrics(build)
  const series = async () =>
    (await metrics.text()).split('\n').filter((line) => /^ironproxy_(?:state_|ca_info|budget_blind)/.test(line))
  expect(await series()).toEqual([])
  metrics.watch({ shared: () => ({ up: true, owed: 2, skew: -130_000 }), caFingerprint: () => 'ab:cd' })
  metrics.blind('day', 'leased')
  expect((await series()).toSorted()).toEqual([
    'ironproxy_budget_blind_total{budget="day",result="leased"} 1',
    'ironproxy_ca_info{fingerprint="ab:cd"} 1',
    'ironproxy_state_clock_skew_seconds -130',
    'ironproxy_state_owed_charges 2',
    'ironproxy_state_up 1',
  ])
})
