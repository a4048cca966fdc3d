/**
 * Writes what others read in their own form: rules for the operators of Prometheus and VictoriaMetrics, the chart's copies,
 * and the dashboard.
 *   node deploy/monitoring/generate.ts [--runbooks https://git.example.com/crew/iron-proxy/blob/main/]
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { parse, stringify } from 'yaml'
import { describeMetrics } from '#observe/instruments.ts'
import { dashboardOf } from './dashboard.ts'
import type { Described } from './dashboard.ts'

interface Rules {
  readonly groups: readonly {
    readonly name: string
    readonly rules: readonly {
      readonly record?: string
      readonly alert?: string
      readonly expr: string
      readonly annotations?: Readonly<Record<string, string>>
    }[]
  }[]
}

const made = '# Made by deploy/monitoring/generate.ts from rules.yaml: edit that.\n'
const deploy = join(import.meta.dirname, '..')

/** The one source of the alerts. */
export function readRules(): Rules {
  return parse(readFileSync(join(import.meta.dirname, 'rules.yaml'), 'utf8')) as Rules
}

/** Every metric that a scrape of the product shows. */
export function everyMetric(): readonly Described[] {
  const registry = new Registry()
  describeMetrics(registry, () => ({}))
  collectDefaultMetrics({ register: registry })
  const described = registry.getMetricsAsArray() as unknown as readonly (Omit<Described, 'labelNames'> & {
    readonly labelNames?: readonly string[]
  })[]
  return described.map(({ name, help, type, labelNames = [] }) => ({ name, help, type, labelNames }))
}

/** What is generated: path below `deploy/` → text. `runbooks` is put before the path of each page. */
export function generated(runbooks: string): Readonly<Record<string, string>> {
  const { groups } = linked(readRules(), runbooks)
  const dashboard = `${JSON.stringify(dashboardOf(everyMetric()), null, 2)}\n`
  const rule = (apiVersion: string, kind: string): string =>
    made + stringify({ apiVersion, kind, metadata: { name: 'iron-proxy' }, spec: { groups } }, { lineWidth: 0 })
  return {
    'kustomize/components/monitoring/prometheusrule.yaml': rule('monitoring.coreos.com/v1', 'PrometheusRule'),
    'kustomize/components/victoriametrics/vmrule.yaml': rule('operator.victoriametrics.com/v1beta1', 'VMRule'),
    'kustomize/components/monitoring/dashboard.json': dashboard,
    'helm/iron-proxy/files/rules.yaml': made + stringify({ groups }, { lineWidth: 0 }),
    'helm/iron-proxy/files/dashboard.json': dashboard,
  }
}

function linked({ groups }: Rules, runbooks: string): Rules {
  return {
    groups: groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => {
        const page = rule.annotations?.['runbook_url']
        return page === undefined ? rule : { ...rule, annotations: { ...rule.annotations, runbook_url: runbooks + page } }
      }),
    })),
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { runbooks: { type: 'string', default: '' } } })
  for (const [path, text] of Object.entries(generated(values.runbooks))) writeFileSync(join(deploy, path), text)
}
