import type { IdentityGauges } from '#contracts/owners.ts'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { BudgetGauge } from './budgets.ts'
import { Buckets, Tally } from './counters.ts'

/** Values that are asked for when someone scrapes. Each answers from memory and at once. */
export interface Gauges {
  /** Open connections by kind: `http`, `tunnel`, `upgrade`, … */
  readonly connections?: () => Readonly<Record<string, number>>
  readonly leafCacheEntries?: () => number
  /** Seconds: how late the latest of the threads that serve is; `undefined`: the main one serves alone. */
  readonly workerLag?: () => number | undefined
  /** Records not yet written, by sink. */
  readonly auditQueue?: () => Readonly<Record<string, number>>
  /** When each credential's value expires, in milliseconds since the epoch. */
  readonly credentialExpiry?: () => Readonly<Record<string, number>>
  /** 1 for a credential that only a new login helps, else 0. */
  readonly reauthRequired?: () => Readonly<Record<string, number>>
  /** Every budget as it stands. */
  readonly budgets?: () => Promise<readonly BudgetGauge[]>
  /** Requests that wait for room, by budget. */
  readonly budgetWaiting?: () => Readonly<Record<string, number>>
  /** What is known of pods; `undefined`: no cluster is watched. Times in milliseconds since the epoch, by namespace. */
  readonly identity?: () => IdentityGauges | undefined
  /** Each check of readiness: 1 if it passes. */
  readonly checks?: () => Readonly<Record<string, number>>
  readonly caBundles?: () => BundleGauges
  /** Of a state that replicas share: whether it can be asked, and how many charges wait to be told. */
  readonly shared?: (() => SharedGauges) | undefined
  /** Milliseconds that the time of budgets is ahead of the wall clock; negative: behind. */
  readonly ledgerAhead?: () => number
  /** Of the CA that signs leaves. */
  readonly caFingerprint?: () => string
  /** When each certificate expires, by role, in milliseconds since the epoch. */
  readonly caExpiry?: () => Readonly<Record<string, number>>
}

export interface SharedGauges {
  readonly up: boolean
  readonly owed: number
  /** Milliseconds that our clock is ahead of the server's; `undefined`: never compared. */
  readonly skew?: number | undefined
}

export interface BundleGauges {
  /** What is handed out now. */
  readonly current: string
  /** The last one of each agent. */
  readonly fetched: readonly { readonly agent: string; readonly bundle: string; readonly at: number }[]
}

export type Instruments = ReturnType<typeof describeMetrics>

// From a cached reply to a model that thinks for ten minutes.
const durations = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]

/**
 * Every metric the product has, with its help and its labels. A label holds words of the policy or of a table of ours,
 * never of the wire; histograms leave the agent out, since each of theirs costs twenty series.
 */
export function describeMetrics(registry: Registry, gauges: () => Gauges) {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Tally({ name: `ironproxy_${name}`, help, labelNames, registry })
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge({ name: `ironproxy_${name}`, help, labelNames, registers })
  const histogram = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Buckets({ name: `ironproxy_${name}`, help, labelNames, registry }, durations)
  /** A gauge by one label that asks for its values when it is scraped; a value that is gone leaves no series behind. */
  const asked = <Label extends string>(
    name: string,
    help: string,
    label: Label,
    ask: () => Readonly<Record<string, number>> | undefined,
  ) =>
    new Gauge({
      name: `ironproxy_${name}`,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset()
        for (const [word, value] of Object.entries(ask() ?? {})) this.set({ [label]: word } as Record<Label, string>, value)
      },
    })

  /** A counter by one label whose count another room keeps. */
  const kept = <Label extends string>(
    name: string,
    help: string,
    label: Label,
    ask: () => Readonly<Record<string, number>> | undefined,
  ) =>
    new Counter({
      name: `ironproxy_${name}`,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset()
        for (const [word, count] of Object.entries(ask() ?? {})) this.inc({ [label]: word } as Record<Label, string>, count)
      },
    })

  /** A gauge by budget; what has no value there leaves no series. */
  const ofBudgets = (name: string, help: string, read: (budget: BudgetGauge) => number | undefined) =>
    new Gauge({
      name: `ironproxy_budget_${name}`,
      help,
      labelNames: ['agent', 'budget', 'window'],
      registers,
      async collect() {
        const budgets = (await gauges().budgets?.()) ?? []
        this.reset()
        for (const each of budgets) {
          const value = read(each)
          if (value !== undefined) this.set({ agent: each.agent, budget: each.budget, window: each.window }, value)
        }
      },
    })
  /** A gauge of a state that replicas share; one that is a file leaves no series. */
  const ofShared = (name: string, help: string, read: (shared: SharedGauges) => number | undefined) =>
    new Gauge({
      name: `ironproxy_state_${name}`,
      help,
      registers,
      collect() {
        this.remove()
        const shared = gauges().shared?.()
        const value = shared && read(shared)
        if (value !== undefined) this.set(value)
      },
    })
  const measures = [
    { measure: 'tokens', unit: 'tokens', words: 'weighted tokens' },
    { measure: 'usd', unit: 'dollars', words: 'US dollars' },
  ] as const

  return {
    budgets: [
      ...measures.flatMap(({ measure, unit, words }) => [
        ofBudgets(`limit_${unit}`, `Limit of the window, in ${words}.`, ({ limit }) => limit[measure]),
        ofBudgets(`used_${unit}`, `Spent in the window, in ${words}.`, ({ used }) => used[measure]),
        ofBudgets(`reserved_${unit}`, `Held for running requests, in ${words}.`, ({ reserved }) => reserved[measure]),
        ofBudgets(`remaining_${unit}`, `Neither spent nor held, in ${words}.`, (budget) => remaining(budget, measure)),
      ]),
      ofBudgets('reset_timestamp_seconds', 'When the window ends and the budget starts anew.', ({ resetsAt }) => resetsAt / 1000),
    ],
    state: [
      ofShared('up', 'Whether the shared state can be asked; 1 if so.', ({ up }) => (up ? 1 : 0)),
      ofShared('owed_charges', 'Charges that wait in the journal for the shared state.', ({ owed }) => owed),
      ofShared(
        'clock_skew_seconds',
        'How far the clock of this replica is ahead of the shared state’s; negative: behind.',
        ({ skew }) => (skew === undefined ? undefined : skew / 1000),
      ),
    ],
    blind: counter('budget_blind_total', 'Requests that came while the ledger could not be asked, by what became of them.', [
      'budget',
      'result',
    ]),
    caInfo: asked('ca_info', 'The CA that signs leaves, by its fingerprint; always 1.', 'fingerprint', () => {
      const fingerprint = gauges().caFingerprint?.()
      return fingerprint === undefined ? {} : { [fingerprint]: 1 }
    }),
    connections: asked('connections_active', 'Open connections.', 'kind', () => gauges().connections?.()),
    auditQueue: asked('audit_queue_depth', 'Audit records not yet written.', 'sink', () => gauges().auditQueue?.()),
    caExpiry: asked('ca_expiry_timestamp_seconds', 'When a CA certificate expires.', 'role', () =>
      inSeconds(gauges().caExpiry?.()),
    ),
    caBundles: [
      asked('ca_bundle_info', 'The bundle of CA certificates that is handed out; always 1.', 'bundle', () => {
        const bundles = gauges().caBundles?.()
        return bundles && { [bundles.current]: 1 }
      }),
      new Gauge({
        name: 'ironproxy_ca_bundle_fetched_timestamp_seconds',
        help: 'When an agent last fetched a bundle of CA certificates, and which.',
        labelNames: ['agent', 'bundle'],
        registers,
        collect() {
          this.reset()
          for (const { agent, bundle, at } of gauges().caBundles?.().fetched ?? []) this.set({ agent, bundle }, at / 1000)
        },
      }),
    ],
    identity: [
      kept(
        'identity_lookups_total',
        'Source addresses looked up among pods, by what was found.',
        'result',
        () => gauges().identity?.()?.lookups,
      ),
      asked('identity_pods', 'Pods known.', 'watched_namespace', () => gauges().identity?.()?.pods),
      asked(
        'identity_namespace_ready',
        'Whether the pods of a namespace are known and the API has spoken of them within 90 s; 1 if so.',
        'watched_namespace',
        () => gauges().identity?.()?.ready,
      ),
      asked(
        'kube_watch_last_sync_timestamp_seconds',
        'When the Kubernetes API last spoke of pods; 0: never.',
        'watched_namespace',
        () => inSeconds(gauges().identity?.()?.lastSync),
      ),
      kept(
        'kube_watch_failures_total',
        'Lists and watches of pods that failed, by status.',
        'reason',
        () => gauges().identity?.()?.failures,
      ),
    ],
    ready: asked('ready', 'Each check of `/readyz`; 1 if it passes.', 'check', () => gauges().checks?.()),
    ledgerAhead: new Gauge({
      name: 'ironproxy_ledger_ahead_seconds',
      help: 'How far the time that budgets go by is ahead of the clock of this machine; negative: behind.',
      registers,
      collect() {
        this.remove()
        const ahead = gauges().ledgerAhead?.()
        if (ahead !== undefined) this.set(ahead / 1000)
      },
    }),
    leafCacheEntries: new Gauge({
      name: 'ironproxy_tls_leaf_cache_entries',
      help: 'Leaf certificates kept in memory.',
      registers,
      collect() {
        this.set(gauges().leafCacheEntries?.() ?? 0)
      },
    }),
    build: gauge('build_info', 'What is running; always 1.', ['version', 'revision', 'node_version']),
    requests: counter('requests_total', 'Requests and upgrades.', ['agent', 'rule', 'action', 'code_class', 'door']),
    duration: histogram('request_duration_seconds', 'From the first byte of a request to the last of its reply.', [
      'code_class',
      'door',
    ]),
    ttfb: histogram('upstream_ttfb_seconds', 'From the first byte of a request to the head of the upstream’s reply.', [
      'code_class',
      'door',
    ]),
    denials: counter('denials_total', 'What the policy refused.', ['agent', 'layer', 'code']),
    failures: counter('failures_total', 'Exchanges that broke, and credentials that only a login helps, by error code.', [
      'layer',
      'code',
    ]),
    transfer: counter('transfer_bytes_total', 'Body bytes passed on; up is towards the upstream.', ['agent', 'direction']),
    swaps: counter('swaps_total', 'Stubs exchanged for real values.', ['agent', 'credential', 'place']),
    misuse: counter('stub_misuse_total', 'Stubs sent where they do not belong.', ['agent', 'credential', 'code']),
    realSeen: counter('real_credential_seen_total', 'Real values that arrived from an agent.', ['agent', 'credential']),
    scrubbed: counter('scrubbed_total', 'Real values taken out of replies.', ['credential']),
    metered: counter('llm_requests_total', 'Metered requests that were charged, by whether their usage was reported.', [
      'agent',
      'provider',
      'model',
      'result',
    ]),
    tokens: counter('llm_tokens_total', 'Tokens of metered replies; reasoning is part of output.', [
      'agent',
      'provider',
      'model',
      'type',
    ]),
    cost: counter('llm_cost_dollars_total', 'US dollars of metered replies, where the price is known.', [
      'agent',
      'provider',
      'model',
    ]),
    usageMissing: counter('llm_usage_missing_total', 'Metered replies that did not report their usage in full.', [
      'provider',
      'reason',
    ]),
    firstToken: histogram(
      'llm_time_to_first_token_seconds',
      'From the first byte of a metered request to the head of its reply.',
      ['provider', 'model'],
    ),
    limits: gauge('llm_subscription_utilization_ratio', 'Used share of the limits of a subscription, as its replies said last.', [
      'credential',
      'limit',
    ]),
    budgetWaiting: asked('budget_waiting_requests', 'Requests that wait for room in a budget.', 'budget', () =>
      gauges().budgetWaiting?.(),
    ),
    budgetWaits: histogram('budget_wait_seconds', 'How long requests waited for room in a budget, by what became of them.', [
      'result',
    ]),
    budgetDenials: counter('budget_denials_total', 'Requests that a budget refused or ended.', ['agent', 'budget']),
    dns: counter('dns_requests_total', 'DNS questions.', ['proto', 'qtype', 'outcome', 'rcode']),
    handshakes: counter('tls_handshake_failures_total', 'TLS handshakes that failed.', ['side', 'reason']),
    leafsMinted: counter('tls_leafs_minted_total', 'Leaf certificates made, and refused to floods of denied names.', ['result']),
    configSuccessful: gauge('config_last_reload_successful', 'Whether the last load of the policy succeeded.'),
    configSuccessTime: gauge('config_last_reload_success_timestamp_seconds', 'When the policy in force was loaded.'),
    configReloads: counter('config_reloads_total', 'Loads of the policy.', ['trigger', 'result']),
    configInfo: gauge('config_info', 'The policy in force; always 1.', ['hash']),
    credentialExpiry: asked('credential_expiry_timestamp_seconds', 'When the value in force expires.', 'credential', () =>
      inSeconds(gauges().credentialExpiry?.()),
    ),
    reauth: asked('oauth_reauth_required', 'Whether only a new login helps; 1 if so.', 'credential', () =>
      gauges().reauthRequired?.(),
    ),
    refreshes: counter('oauth_refresh_total', 'Calls for a new value, by how they ended.', ['credential', 'result']),
    tokenCalls: counter('token_calls_total', 'Token calls of agents: answered, captured or refused here.', [
      'agent',
      'credential',
      'result',
    ]),
    secretReadErrors: counter('secret_read_errors_total', 'Reads of a credential’s source that failed.', ['credential']),
    workers: gauge('workers', 'Threads that serve beside the main one; 0: that one serves alone.'),
    workerLag: new Gauge({
      name: 'ironproxy_worker_eventloop_lag_p99_seconds',
      help: 'Event-loop delay of the slowest thread that serves beside the main one, over its last second.',
      registers,
      collect() {
        this.remove()
        const lag = gauges().workerLag?.()
        if (lag !== undefined) this.set(lag)
      },
    }),
    workerRestarts: counter<never>('worker_restarts_total', 'Threads that ended of themselves and were started again.', []),
    auditEvents: counter('audit_events_total', 'Audit records by how they fared.', ['sink', 'result']),
  }
}

function inSeconds(times: Readonly<Record<string, number>> | undefined): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(times ?? {}).map(([word, milliseconds]) => [word, milliseconds / 1000]))
}

function remaining({ limit, used, reserved }: BudgetGauge, measure: 'tokens' | 'usd'): number | undefined {
  const most = limit[measure]
  return most === undefined ? undefined : Math.max(0, most - (used[measure] ?? 0) - (reserved[measure] ?? 0))
}
