import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { everyMetric, generated, readRules } from '../../deploy/monitoring/generate.ts'
import { commands } from '#cli/index.ts'
import { createMetrics } from '#observe/metrics.ts'
import { have, run } from '../kit/clients.ts'
import { deploy, outputOf, top } from './parts.ts'

const monitoring = join(deploy, 'monitoring')
const rules = readRules().groups.flatMap(({ rules: own }) => own)
const alerts = rules.flatMap(({ alert }) => (alert === undefined ? [] : [alert]))

interface Panel {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string }[]
}
const dashboard = JSON.parse(generated('')['helm/iron-proxy/files/dashboard.json'] ?? '{}') as {
  readonly panels: readonly Panel[]
}
const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

/** Names of metrics in an expression; of a histogram its base. Recorded names have a colon and are none of the registry. */
function metricsIn(expression: string): readonly string[] {
  const words = expression.replaceAll(/"[^"]*"|\{\{[^}]*\}\}/g, '').match(/\b(?:ironproxy|process|nodejs)_\w+\b(?!:)/g) ?? []
  return words.map((word) => word.replace(/_bucket$/, ''))
}

describe('every expression', () => {
  const known = new Set(everyMetric().map(({ name }) => name))

  it.each([
    ...rules.map(({ alert, record, expr }) => [alert ?? record ?? '', expr] as const),
    ...queries.map((expr) => [expr, expr] as const),
  ])('%s asks for metrics that there are', (_name, expr) => {
    expect(metricsIn(expr).filter((name) => !known.has(name))).toEqual([])
  })

  it('names only labels that its metrics carry', () => {
    const labels = new Map(everyMetric().map(({ name, labelNames }) => [name, labelNames]))
    const fromScrape = new Set(['job', 'instance', 'namespace', 'pod', 'le'])
    const wrong = [...rules.map(({ expr }) => expr), ...queries].flatMap((expr) =>
      [...expr.matchAll(/\b((?:ironproxy|nodejs|process)_\w+?)(?:_bucket)?\{([^}]*)\}/g)].flatMap(([, name = '', inside = '']) =>
        [...inside.matchAll(/(\w+)\s*[=!]/g)]
          .map(([, label = '']) => label)
          .filter((label) => known.has(name) && !fromScrape.has(label) && !labels.get(name)?.includes(label))
          .map((label) => `${name}{${label}}`),
      ),
    )
    expect(wrong).toEqual([])
  })

  it('uses no label that a scrape adds: Prometheus would rename ours', () => {
    const added = new Set(['namespace', 'pod', 'container', 'endpoint', 'service', 'node', 'job', 'instance'])
    expect(
      everyMetric().filter(
        ({ name, labelNames }) => name.startsWith('ironproxy_') && labelNames.some((label) => added.has(label)),
      ),
    ).toEqual([])
  })

  it('has recorded names that a rule records', () => {
    const recorded = new Set(rules.flatMap(({ record }) => (record === undefined ? [] : [record])))
    const asked = rules.flatMap(({ expr }) => expr.match(/\bironproxy:\w+(?::\w+)*/g) ?? [])
    expect(asked.filter((name) => !recorded.has(name))).toEqual([])
  })
})

describe('every alert', () => {
  const tested = parse(readFileSync(join(monitoring, 'rules.test.yaml'), 'utf8')) as {
    readonly tests: readonly {
      readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly object[] }[]
    }[]
  }
  const cases = tested.tests.flatMap(({ alert_rule_test: own }) => own)

  it.each(alerts)('%s is seen to fire and to clear', (alert) => {
    const own = cases.filter(({ alertname }) => alertname === alert)
    expect(own.some(({ exp_alerts: fired }) => fired.length > 0)).toBe(true)
    expect(own.at(-1)?.exp_alerts).toEqual([])
  })

  it.each(alerts)('%s has a severity, a summary and a page', (alert) => {
    const rule = rules.find((each) => each.alert === alert)
    expect(rule).toMatchObject({ labels: { severity: expect.stringMatching(/^(?:warning|critical)$/) as string } })
    expect(rule?.annotations?.['summary']).toBeDefined()
    expect(existsSync(join(top, rule?.annotations?.['runbook_url'] ?? 'none'))).toBe(true)
    expect(readFileSync(join(monitoring, 'runbooks', `${alert}.md`), 'utf8')).toMatch(
      new RegExp(
        `^# ${alert}\\n\\n\\*\\*When\\.\\*\\* .+\\n\\n\\*\\*What it means for agents\\.\\*\\* .+\\n\\n\\| do \\| and see \\|`,
      ),
    )
  })

  it('is the reason for its page', () => {
    const pages = readdirSync(join(monitoring, 'runbooks')).filter((name) => name !== 'README.md')
    expect(pages.map((name) => name.replace('.md', ''))).toEqual(alerts.toSorted())
  })
})

describe('a page', () => {
  const pages = readdirSync(join(monitoring, 'runbooks')).map(
    (name) => [name, readFileSync(join(monitoring, 'runbooks', name), 'utf8')] as const,
  )
  const spansOf = (text: string): readonly string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span)

  it.each(pages)('%s names commands and options that there are', (_name, text) => {
    for (const span of spansOf(text)) {
      const [, name] = /^(?:iron-proxy )([a-z]+)/.exec(span) ?? []
      if (name === undefined) continue
      const options = commands.find((each) => each.name === name)?.options
      expect(options, span).toBeDefined()
      const given = [...span.matchAll(/ --([a-z-]+)/g)].map(([, option = '']) => option)
      expect(given.filter((option) => !Object.hasOwn(options ?? {}, option))).toEqual([])
    }
  })

  it.each(pages)('%s names metrics and files that there are', (_name, text) => {
    const known = new Set(everyMetric().map(({ name }) => name))
    const spans = spansOf(text)
    expect(spans.flatMap(metricsIn).filter((metric) => !known.has(metric))).toEqual([])
    expect(spans.filter((span) => span.startsWith('deploy/') && !existsSync(join(top, span)))).toEqual([])
  })
})

describe('what is generated', () => {
  it.each(Object.entries(generated('')))('%s is fresh; run `npm run monitoring`', (path, text) => {
    expect(readFileSync(join(deploy, path), 'utf8')).toBe(text)
  })

  it('may link its pages to where they are', () => {
    const text = generated('https://git.example.com/blob/main/')['kustomize/components/monitoring/prometheusrule.yaml']
    expect(text).toContain('runbook_url: https://git.example.com/blob/main/deploy/monitoring/runbooks/IronProxyDown.md')
  })
})

describe('the dashboard', () => {
  it('shows every metric of the product', () => {
    const shown = new Set(queries.flatMap(metricsIn))
    expect(
      everyMetric()
        .map(({ name }) => name)
        .filter((name) => name.startsWith('ironproxy_') && !shown.has(name)),
    ).toEqual([])
  })

  it('lays no panel over another', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
  })
})

describe.skipIf(!have('promtool'))('promtool (skipped without Debian’s prometheus)', () => {
  it('takes the rules', async () => {
    expect(await outputOf('promtool', ['check', 'rules', join(monitoring, 'rules.yaml')])).toContain(
      `${rules.length} rules found`,
    )
  })

  it('sees each alert fire and clear', async () => {
    const done = await run('promtool', ['test', 'rules', join(monitoring, 'rules.test.yaml')])
    expect(done.stdout + done.stderr).toMatch(/SUCCESS/)
    expect(done.code).toBe(0)
  })

  it('takes every query of the dashboard', async () => {
    const groups = [{ name: 'dashboard', rules: queries.map((expr, i) => ({ record: `query:${i}`, expr: filled(expr) })) }]
    const folder = await mkdtemp(join(tmpdir(), 'dashboard-'))
    try {
      await writeFile(join(folder, 'rules.yaml'), JSON.stringify({ groups }))
      expect(await outputOf('promtool', ['check', 'rules', join(folder, 'rules.yaml')])).toContain(
        `${queries.length} rules found`,
      )
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('takes the metrics themselves', async () => {
    const metrics = createMetrics({ version: '0.0.0', revision: 'test', node: 'v26' }, { runtime: true })
    const done = await run('promtool', ['check', 'metrics'], { input: await metrics.text() })
    expect(done.stdout + done.stderr).toBe('')
    expect(done.code).toBe(0)
  })
})

describe.skipIf(!have('amtool'))('amtool (skipped without Debian’s prometheus-alertmanager)', () => {
  it('takes the example route to Matrix', async () => {
    const file = join(monitoring, 'alertmanager.yaml')
    expect(await outputOf('amtool', ['check-config', file])).toContain('SUCCESS')
    for (const [labels, receiver] of [
      [['alertname=IronProxyReauthRequired', 'severity=critical'], 'matrix-urgent'],
      [['alertname=IronProxyBudgetWarning', 'severity=warning'], 'matrix'],
      [['alertname=SomethingElse'], 'nobody'],
    ] as const)
      expect((await outputOf('amtool', ['config', 'routes', 'test', '--config.file', file, ...labels])).trim()).toBe(receiver)
  })
})

function filled(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(?:namespace|agent)/g, '.*')
}
