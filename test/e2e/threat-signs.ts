/** Signs of harm that need no request to be seen: in the metrics, and in what this process holds open. */
import type { Scenario } from '../kit/scenario.ts'

/** The lines of our own series. */
export function seriesOf(metrics: string): readonly string[] {
  return metrics.split('\n').filter((line) => line.startsWith('ironproxy_'))
}

/** Label values that are neither a word of ours nor of the policy. */
export function strangeLabels(metrics: string, scene: Pick<Scenario<unknown>, 'app'>): readonly string[] {
  const { policy, credentials } = scene.app.snapshot() ?? {}
  const known: Readonly<Record<string, ReadonlySet<string>>> = {
    agent: new Set([...(policy?.agents.keys() ?? []), 'unknown']),
    rule: new Set([...(policy?.rules.map(({ id }) => id) ?? []), 'none']),
    credential: new Set([...(credentials?.keys() ?? []), 'unknown']),
  }
  const labels = seriesOf(metrics).flatMap((line) => [...line.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)])
  return labels.flatMap(([pair, name = '', value = '']) => {
    // Of our own CA, and longer than anything else.
    if (name === 'fingerprint' && /^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$/.test(value)) return []
    const isOurs = known[name]?.has(value) ?? (value.length <= 64 && !/\.test|evil|[^\w.:+-]/i.test(value))
    return isOurs ? [] : [pair]
  })
}

/** Sockets, servers and watchers of this process. */
export function handles(): number {
  return process.getActiveResourcesInfo().filter((kind) => /TCP|UDP|TLS|FSEvent/.test(kind)).length
}
