/** Where agents, budgets and meters do not fit each other. */
import type { PolicyFinding } from '#policy/review.ts'
import { isInTable } from '#metering/price.ts'
import { meterNames } from '#providers/index.ts'
import type { Merged } from './merge.ts'

/** Everything questionable about who is held to what. */
export function reviewBudgets(merged: Merged): PolicyFinding[] {
  return [...reviewAgents(merged), ...reviewMeters(merged), ...reviewLikes(merged)]
}

function reviewLikes({ prices }: Merged): PolicyFinding[] {
  return [...prices].flatMap(([name, { like }]) =>
    like === undefined || isInTable(like)
      ? []
      : [
          error(
            ['prices', name, 'like'],
            `the built-in table has no price for ${JSON.stringify(like)}; name another model, or write numbers`,
          ),
        ],
  )
}

function reviewAgents({ agents, budgets, names, rules }: Merged): PolicyFinding[] {
  const findings: PolicyFinding[] = []
  const named = new Set<string>()
  for (const [id, { budget }] of agents) {
    const several = Array.isArray(budget)
    for (const [index, each] of (budget === undefined ? [] : [budget].flat()).entries()) {
      const path = ['agents', id, 'budget', ...(several ? [index] : [])]
      if (several && budget.indexOf(each) < index)
        findings.push(error(path, `${JSON.stringify(each)} stands in this list already`))
      if (!names.budgets.has(each)) findings.push(error(path, `no budget is called ${JSON.stringify(each)}`))
      named.add(each)
    }
  }
  for (const id of budgets.keys()) {
    if (!named.has(id)) findings.push(warning(['budgets', id], 'no agent names this budget, so it limits nothing'))
  }
  if (named.size > 0 && !rules.some(({ rule }) => rule.meter !== undefined))
    findings.push(warning(['budgets'], 'no rule has a meter, so nothing is ever charged to a budget'))
  return findings
}

function reviewMeters({ rules }: Merged): PolicyFinding[] {
  return rules.flatMap(({ rule: { meter } }, index) =>
    meter === undefined || meter === 'auto' || meterNames.includes(meter)
      ? []
      : [
          error(
            ['rules', index, 'meter'],
            `no meter is called ${JSON.stringify(meter)}; there is auto, ${meterNames.join(', ')}`,
          ),
        ],
  )
}

function error(path: PolicyFinding['path'], message: string): PolicyFinding {
  return { severity: 'error', path, message }
}

function warning(path: PolicyFinding['path'], message: string): PolicyFinding {
  return { severity: 'warning', path, message }
}
