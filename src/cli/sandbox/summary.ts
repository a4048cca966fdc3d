/** What one sandbox did, from the audit of its run. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '#config/settings-schema.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { linesOfProxy } from '../logs/sources.ts'

/** Milliseconds between two looks, so that the proxy's memory of records holds all between them. */
const pause = 1_000

/** Collects the records of a run until it is stopped. */
export class Collector {
  readonly #run: string
  readonly #lines: () => Promise<readonly string[]>
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  readonly records: AuditRecord[] = []

  constructor(settings: Settings, run: string) {
    this.#run = run
    this.#lines = linesOfProxy(settings)
    this.#done = this.#collect()
  }

  async stop(): Promise<readonly AuditRecord[]> {
    this.#stop.abort()
    await this.#done
    await this.#look()
    return this.records
  }

  async #collect(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#look()
      await sleep(pause, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  /** A proxy that does not answer now may do so later. */
  async #look(): Promise<void> {
    const lines = await this.#lines().catch(() => [])
    for (const text of lines) {
      const record = JSON.parse(text) as AuditRecord
      if (record.runId === this.#run) this.records.push(record)
    }
  }
}

/** For people: what was reached, what was refused, what it cost, and how to allow what was refused. */
export function summaryText(records: readonly AuditRecord[], agent: string): string {
  const exchanges = records.filter(
    ({ type, host }) => (type === 'request' || type === 'upgrade' || type === 'tunnel') && host !== undefined,
  )
  const reached = counted(exchanges.filter(({ verdict, type }) => verdict === 'allow' && type !== 'tunnel'))
  const refused = exchanges.filter(({ verdict }) => verdict === 'deny')
  const usd = records.reduce((sum, { usage }) => sum + (usage?.usd ?? 0), 0)
  const tokens = records.reduce((sum, { usage }) => sum + (usage?.input ?? 0) + (usage?.output ?? 0), 0)
  const hosts = [
    ...new Set(refused.filter(({ code }) => code === 'host_denied' || code === 'request_denied').map(({ host }) => host)),
  ]
  return [
    `reached  ${listed(reached) || 'nothing'}`,
    `refused  ${listed(counted(refused, ({ host, code }) => `${host} (${code})`)) || 'nothing'}`,
    `spent    ${tokens.toLocaleString('en')} tokens, ${usd.toFixed(4)} USD`,
    ...hosts.map((host) => `allow it: iron-proxy allow ${host} --agent ${agent}`),
  ].join('\n')
}

function counted(
  records: readonly AuditRecord[],
  name: (record: AuditRecord) => string = ({ host }) => host ?? '',
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const record of records) counts.set(name(record), (counts.get(name(record)) ?? 0) + 1)
  return counts
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => (count === 1 ? name : `${name} ×${count}`)).join(', ')
}
