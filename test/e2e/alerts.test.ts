/** From a request to a message: real Prometheus scrapes the real proxy, our rules fire, real Alertmanager tells a webhook. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createMetrics } from '#observe/metrics.ts'
import { freePorts } from '../kit/child.ts'
import { have } from '../kit/clients.ts'
import { closer, listen } from '../kit/listen.ts'
import { record } from '../observe/records.ts'
import { Llm } from '../kit/llm.ts'
import { Provider } from '../kit/provider.ts'
import { scenario } from '../kit/scenario.ts'
import { startServer } from '../kit/server-program.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}], budget: day}}
credentials:
  claude:
    kind: oauth2
    stubs: {access: access-token-stub, refresh: refresh-token-stub}
    grant: {file: secrets/claude-oauth.json}
    tokenEndpoint: https://platform.claude.com/v1/oauth/token
    clientId: client-of-the-tests
    hosts: [console.anthropic.com]
rules:
  - {id: llm, hosts: [api.openai.com], meter: auto}
  - {id: console, hosts: [console.anthropic.com], credentials: [claude]}
budgets:
  day: {window: day, tokens: 200}
`

interface Alert {
  readonly status: 'firing' | 'resolved'
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** Takes what Alertmanager posts, by the path it posts to. */
async function startWebhook() {
  const alerts: (Alert & { readonly path: string })[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { alerts: told } = JSON.parse(body) as { readonly alerts: readonly Alert[] }
      alerts.push(...told.map((alert) => ({ ...alert, path: request.url ?? '' })))
      response.end()
    })
  })
  const close = closer(server)
  return { alerts, port: await listen(server), [Symbol.asyncDispose]: close }
}

/** Prometheus with our rules and Alertmanager with our route, both in more of a hurry than in a cluster. */
async function startMonitoring(target: number, webhook: number, hurry = (rules: string) => rules): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'monitoring-'))
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  const [prometheus = 0, alertmanager = 0] = await freePorts(2)
  const route = (await readFile('deploy/monitoring/alertmanager.yaml', 'utf8'))
    .replaceAll('http://matrix-alertmanager-receiver.monitoring.svc:12345', `http://127.0.0.1:${webhook}`)
    .replaceAll(/group_interval: \w+/g, 'group_interval: 1s')
  await writeFile(join(folder, 'alertmanager.yaml'), route)
  await writeFile(join(folder, 'rules.yaml'), hurry(await readFile('deploy/monitoring/rules.yaml', 'utf8')))
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yaml'],
    scrape_configs: [{ job_name: 'iron-proxy', static_configs: [{ targets: [`127.0.0.1:${target}`] }] }],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertmanager}`] }] }] },
  }
  await writeFile(join(folder, 'prometheus.yaml'), JSON.stringify(config))
  const at = (port: number): string => `--web.listen-address=127.0.0.1:${port}`
  stack.use(
    await startServer(
      'prometheus-alertmanager',
      [`--config.file=${folder}/alertmanager.yaml`, `--storage.path=${folder}/am`, '--cluster.listen-address=', at(alertmanager)],
      `http://127.0.0.1:${alertmanager}/-/ready`,
    ),
  )
  stack.use(
    await startServer(
      'prometheus',
      [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/tsdb`, at(prometheus)],
      `http://127.0.0.1:${prometheus}/-/ready`,
    ),
  )
  const owned = stack.move()
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const chat = JSON.stringify({ model: 'gpt-5', messages: [], max_tokens: 100 })

describe.skipIf(!have('prometheus') || !have('prometheus-alertmanager'))('alerts (skipped without Debian’s Prometheus)', () => {
  it('of a budget that ended and a login that ended reach the webhook, and so does their end', async () => {
    const llm = new Llm()
    const provider = new Provider()
    await using s = await scenario({
      policy,
      upstreams: {
        api: {
          hosts: ['api.openai.com'],
          start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate, protocol: 'h1', handler: llm.handle }),
        },
        console: {
          hosts: ['console.anthropic.com'],
          start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate }),
        },
        tokens: { hosts: ['platform.claude.com'], start: ({ certificate }) => provider.serve(certificate) },
      },
    })
    const seed = async (expiresIn: number): Promise<void> => {
      const { access, refresh } = provider.login()
      // Before the proxy reads it: a grant that has run out is refreshed at once, and would live on.
      if (expiresIn < 0) provider.revoke()
      const expires = Math.floor(Date.now() / 1000) + expiresIn
      const grant = { access_token: access, refresh_token: refresh, expires_at: expires }
      await writeFile(join(s.files.policies, 'secrets/claude-oauth.json'), JSON.stringify(grant))
      await s.app.reload('signal')
    }
    await using webhook = await startWebhook()
    await using stack = new AsyncDisposableStack()
    stack.use(await startMonitoring(s.ports.metrics, webhook.port))
    const heard = async (status: Alert['status'], alertname: string) => {
      const deadline = performance.now() + 30_000
      for (;;) {
        const alert = webhook.alerts.find((each) => each.status === status && each.labels['alertname'] === alertname)
        if (alert || performance.now() > deadline) return alert
        await sleep(50)
      }
    }

    llm.with({ input: 180, output: 20 })
    expect(
      (
        await s.curl('connect', 'https://api.openai.com/v1/chat/completions', [
          '-H',
          'Content-Type: application/json',
          '-d',
          chat,
        ])
      ).status,
    ).toBe(200)
    await seed(-60)
    const refused = await s.curl('connect', 'https://console.anthropic.com/', ['-H', 'Authorization: Bearer access-token-stub'])
    expect(refused.status).toBe(503)

    const exhausted = await heard('firing', 'IronProxyBudgetExhausted')
    expect(exhausted).toMatchObject({
      path: '/alerts/agents-urgent',
      labels: { agent: 'devbot', budget: 'day', measure: 'tokens', severity: 'critical' },
    })
    expect(exhausted?.annotations['summary']).toContain('Budget day of devbot is used up')
    expect(await heard('firing', 'IronProxyReauthRequired')).toMatchObject({
      path: '/alerts/agents-urgent',
      labels: { credential: 'claude', severity: 'critical' },
      annotations: { runbook_url: expect.stringContaining('IronProxyReauthRequired.md') as string },
    })

    await fetch(`http://127.0.0.1:${s.ports.admin}/v1/budgets/set`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ budget: 'day', agent: 'devbot', tokens: 0 }),
    })
    await seed(3600)
    expect(await heard('resolved', 'IronProxyBudgetExhausted')).toBeDefined()
    expect(await heard('resolved', 'IronProxyReauthRequired')).toBeDefined()
    expect(webhook.alerts.filter(({ labels }) => !labels['alertname']?.startsWith('IronProxy'))).toEqual([])
  }, 120_000)

  it('of a proxy that is not ready, knows no pods, cannot read, cannot get out, is masqueraded or owes reach the webhook', async () => {
    const metrics = createMetrics({ version: '0.0.0', revision: 'test', node: 'v26' })
    const longAgo = Date.now() - 600_000
    const identity = {
      lookups: {},
      pods: { agents: 0 },
      lastSync: { agents: longAgo },
      ready: { agents: 0 },
      failures: { '403': 3 },
    }
    metrics.watch({ identity: () => identity, checks: () => ({ state: 0, running: 1 }), shared: () => ({ up: false, owed: 7 }) })
    const failed = () => {
      metrics.observe(record({ verdict: 'allow' }))
      metrics.observe(record({ verdict: 'error', code: 'upstream_unreachable', status: 502 }))
    }
    await using stack = new AsyncDisposableStack()
    const server = createServer((_, response) => {
      failed()
      metrics.secretReadFailed('github')
      metrics.observe(record({ verdict: 'deny', code: 'agent_masqueraded', agent: null, status: 403 }))
      void metrics.text().then((page) => response.setHeader('content-type', metrics.contentType).end(page))
    })
    stack.defer(closer(server))
    const port = await listen(server)
    await using webhook = await startWebhook()
    // What must last for minutes lasts a second here.
    stack.use(await startMonitoring(port, webhook.port, (rules) => rules.replaceAll(/\bfor: \d+[mh]/g, 'for: 1s')))
    const wanted = [
      'IronProxyNotReady',
      'IronProxyNamespaceUnknown',
      'IronProxyIdentityWatchStale',
      'IronProxySecretUnreadable',
      'IronProxyUpstreamFailing',
      'IronProxySourceMasqueraded',
      'IronProxyChargesOwed',
      'IronProxyStateDown',
    ]
    const names = (): ReadonlySet<string | undefined> => new Set(webhook.alerts.map(({ labels }) => labels['alertname']))
    await within(() => wanted.every((name) => names().has(name)), 60_000)
    expect(wanted.filter((name) => !names().has(name))).toEqual([])
    const told = webhook.alerts.find(({ labels }) => labels['alertname'] === 'IronProxyNamespaceUnknown')
    expect(told).toMatchObject({ path: '/alerts/agents-urgent', labels: { watched_namespace: 'agents', severity: 'critical' } })
  }, 120_000)
})
