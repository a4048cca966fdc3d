/** One audit record as a line for eyes. */
import type { AuditRecord } from '#contracts/audit-record.ts'
import { remedyOf } from '#timeline/remedy.ts'

const colours = { deny: 31, error: 35, would_deny: 33, allow: 32, faint: 2 } as const

/** The line, and below a refusal the rule that would allow it. */
export function entryText(record: AuditRecord, colour: boolean): string {
  const paint = (text: string, name: keyof typeof colours) => (colour ? `\u001B[${colours[name]}m${text}\u001B[0m` : text)
  const { verdict } = record
  const cells = [
    paint(record.time.slice(11, 19), 'faint'),
    (record.agent ?? '-').padEnd(10),
    paint(verdict.padEnd(5), verdict),
    subjectOf(record),
    record.status === undefined ? '' : String(record.status),
    ...record.swaps.map(({ credential }) => `swap ${credential}`),
    costOf(record),
    verdict === 'allow' ? '' : (record.code ?? ''),
    paint(record.id, 'faint'),
  ]
  const first = cells.filter((cell) => cell !== '').join(' ')
  const remedy = remedyOf(record)
  return remedy === undefined ? first : `${first}\n         ${paint(remedy, 'faint')}`
}

function subjectOf({ type, event, method, host, port, path, scheme, dns, reason, budget, credential }: AuditRecord): string {
  const place = `${host ?? ''}${port === undefined || port === (scheme === 'http' ? 80 : 443) ? '' : `:${port}`}`
  switch (type) {
    case 'request':
    case 'upgrade':
      return `${method ?? '-'} ${scheme === 'http' ? 'http://' : ''}${place} ${path ?? ''}`.trimEnd()
    case 'tunnel':
    case 'tls':
      return `${type} ${place} ${event}`
    case 'dns':
      return `dns ${dns?.qtype ?? ''} ${host ?? ''} ${dns?.outcome ?? ''}`.trimEnd()
    case 'credential':
    case 'budget':
    case 'run':
    case 'operator':
      return [type, event, credential ?? budget ?? '', reason ?? ''].filter((word) => word !== '').join(' ')
    default:
      return type satisfies never
  }
}

function costOf({ usage }: AuditRecord): string {
  if (!usage) return ''
  const tokens = Object.entries(usage).reduce(
    (sum, [name, count]) => (typeof count === 'number' && name !== 'usd' && name !== 'reasoning' ? sum + count : sum),
    0,
  )
  const money = usage.usd === undefined ? '' : ` ${usage.usd.toFixed(4)} USD`
  return `${tokens.toLocaleString('en')} tokens${money}`
}
