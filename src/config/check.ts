/** What `check` says: the issues of policies and settings, and whether they stop anything. */
import { formatIssue } from './issue.ts'
import type { Issue } from './issue.ts'
import { loadPolicies } from './load.ts'
import type { LoadOptions } from './load.ts'
import { reviewPrices } from './review-prices.ts'
import type { SeenModel } from './review-prices.ts'
import { reviewSpend } from './review-spend.ts'
import type { SpentRow } from './review-spend.ts'

export interface CheckReport {
  /** Whether a proxy would take this policy. */
  readonly ok: boolean
  readonly files: readonly string[]
  readonly issues: readonly Issue[]
  readonly counts: {
    readonly errors: number
    readonly warnings: number
    readonly agents: number
    readonly rules: number
    readonly credentials: number
  }
}

/** What a running proxy has charged, and for which models it has no price. */
export interface SeenModels {
  readonly spent: readonly SpentRow[]
  /** Left out by a proxy of an older version. */
  readonly unpriced?: readonly SeenModel[]
}

/**
 * Loads a directory of policies as the proxy would, where a missing secret is an error. `besides` was found elsewhere; `seen`: by a
 * running proxy.
 */
export async function checkPolicies(
  directory: string,
  secretExists?: LoadOptions['secretExists'],
  besides: readonly Issue[] = [],
  seen: SeenModels = { spent: [] },
): Promise<CheckReport> {
  const loaded = await loadPolicies(directory, { ...(secretExists && { secretExists }), missingSecret: 'error' })
  const { snapshot, files } = loaded
  const found = snapshot
    ? [...reviewSpend(snapshot, seen.spent, directory), ...reviewPrices(snapshot, seen.unpriced ?? [], directory)]
    : []
  const issues = [...besides, ...loaded.issues, ...found]
  const errors = issues.filter(({ severity }) => severity === 'error').length
  return {
    ok: errors === 0,
    files,
    issues,
    counts: {
      errors,
      warnings: issues.length - errors,
      agents: snapshot?.policy.agents.size ?? 0,
      rules: snapshot?.policy.rules.length ?? 0,
      credentials: snapshot?.credentials.size ?? 0,
    },
  }
}

/** The report for people: one line an issue, then one line in sum. */
export function checkText({ ok, files, issues, counts }: CheckReport): string {
  const found = [count(counts.errors, 'error'), count(counts.warnings, 'warning')]
    .filter((text) => !text.startsWith('0'))
    .join(', ')
  const holds = [count(counts.agents, 'agent'), count(counts.rules, 'rule'), count(counts.credentials, 'credential')].join(', ')
  const sum = `${count(files.length, 'file')}: ${ok ? `${holds}${found && `; ${found}`}` : `${found}; nothing is loaded`}`
  return [...issues.map(formatIssue), sum].join('\n')
}

/** The report for scripts. */
export function checkJson(report: CheckReport): string {
  return JSON.stringify(report, null, 2)
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
