/** What the pages are made of; `operators.ts` hands it in from the rooms. */
import type { BudgetRow } from '#admin/budgets.ts'
import type { Check } from '#admin/health.ts'
import type { ReloadResult } from '#admin/server.ts'
import type { Clock } from '#base/clock.ts'
import type { PolicyFile } from '#config/load.ts'
import type { OperatorAct } from '#contracts/own-records.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'

export interface CredentialRow {
  readonly id: string
  readonly kind: string
  readonly hosts: readonly string[]
  readonly agents: readonly string[] | 'all'
  readonly loaded: boolean
  readonly expiresAt?: number
  readonly needsLogin?: string
  readonly lastRefresh?: { readonly at: number; readonly result: string }
  readonly scopes?: readonly string[]
  readonly identity?: {
    readonly kind: 'known' | 'unknown'
    readonly who?: string
    readonly reason?: string
    readonly scopes?: readonly string[]
  }
  readonly warnings?: readonly string[]
}

export interface PageSources {
  readonly clock: Clock
  readonly version: string
  readonly snapshot: () => Snapshot | undefined
  readonly sources: () => readonly PolicyFile[]
  readonly issues: () => readonly string[]
  readonly lastReload: () => { readonly at: number; readonly ok: boolean; readonly trigger: string } | undefined
  /** The last records, oldest first. */
  readonly recent: () => readonly AuditRecord[]
  /** The end of the audit file and of what hooks wrote, as far as they are in the settings. */
  readonly lines: () => Promise<readonly string[]>
  readonly budgets: () => Promise<readonly BudgetRow[]>
  readonly setBudget: (change: {
    readonly budget: string
    readonly agent: string | undefined
    readonly tokens: number | undefined
    readonly usd: number | undefined
  }) => Promise<boolean>
  readonly credentials: () => readonly object[]
  readonly beginLogin: (credential: string) => string
  readonly checks: () => readonly Check[]
  readonly status: () => object
  readonly explain: (agent: string, method: string, url: string) => Promise<string>
  /** Results of the tests beside the policies, as text. */
  readonly tests: () => Promise<string>
  readonly reload: () => Promise<ReloadResult>
  readonly acted: (act: OperatorAct) => void
}
