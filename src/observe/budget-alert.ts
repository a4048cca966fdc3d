/** What is told of budgets to whoever must act: as an alert in Alertmanager's words, which Matrix bridges take too. */
import type { BudgetEvent } from '#metering/notice.ts'
import { usedText } from '#metering/notice.ts'

/**
 * The body of an Alertmanager webhook (version 4). It ends by itself when the budget starts anew. Source:
 * prometheus.io/docs/alerting/latest/configuration/#webhook_config
 */
export function alertOf(event: BudgetEvent, now: number): object {
  const { kind, budget, account, measure, share, resetsAt } = event
  const labels = {
    alertname: kind === 'exhausted' ? 'BudgetExhausted' : 'BudgetWarning',
    severity: kind === 'exhausted' ? 'critical' : 'warning',
    agent: account.holder,
    budget: budget.id,
    measure,
    window: budget.window,
  }
  const annotations = { summary: summaryOf(event), share: String(share) }
  return {
    version: '4',
    status: 'firing',
    receiver: 'iron-proxy',
    groupKey: `${budget.id}/${account.holder}/${measure}/${account.window}`,
    groupLabels: { alertname: labels.alertname, agent: labels.agent },
    commonLabels: labels,
    commonAnnotations: annotations,
    externalURL: '',
    truncatedAlerts: 0,
    alerts: [
      {
        status: 'firing',
        labels,
        annotations,
        startsAt: new Date(now).toISOString(),
        endsAt: new Date(resetsAt).toISOString(),
        generatorURL: '',
        fingerprint: `${budget.id}/${account.holder}/${measure}/${account.window}/${share}`,
      },
    ],
  }
}

/** `budget crew of devbot: 4000000 of 5000000 tokens used (80 %); resets 2026-11-22T00:00:00.000Z`. */
export function summaryOf({ kind, budget, account, share, resetsAt, ...standing }: BudgetEvent): string {
  const holder = account.holder === '*' ? 'its crew' : account.holder
  const part = kind === 'exhausted' ? 'used up' : `${Math.round(share * 100)} %`
  return `budget ${budget.id} of ${holder}: ${usedText(standing)} used (${part}); resets ${new Date(resetsAt).toISOString()}`
}
