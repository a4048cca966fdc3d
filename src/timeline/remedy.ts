/** Which rule would allow what was refused? */
import { errorTable } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'

/** Codes that a rule of the policy would mend. */
const mended: ReadonlySet<string> = new Set<ErrorCode>(['host_denied', 'port_denied', 'plain_denied', 'request_denied'])

/** The rule that would allow a request, and the command that writes it. `undefined`: no rule would help, or none is wanted. */
export function remedyOf({ agent, host, code, method, path, scheme, verdict }: AuditRecord): string | undefined {
  if (verdict === 'allow' || agent === null || host === undefined) return undefined
  if (code === 'rule_denied') return undefined
  if (code === undefined || !mended.has(code)) return code === undefined ? undefined : errorTable[code].hint
  const narrowed = [
    method === undefined || method === 'CONNECT' ? '' : `, methods: [${method}]`,
    path === undefined ? '' : `, paths: [${JSON.stringify(path)}]`,
    scheme === 'http' ? ', plain: true' : '',
  ].join('')
  const rule = `- {id: ${idFor(host)}, agents: [${agent}], hosts: [${host}]${narrowed}}`
  return `would allow it: ${rule}; or: iron-proxy allow ${host} --agent ${agent}`
}

/** A rule id out of a host pattern. */
export function idFor(host: string): string {
  return host.replace(/^\*\./, 'all-').replaceAll('.', '-')
}
