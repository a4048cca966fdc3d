import type { Account, Budget } from './types.ts'
import { windowOf } from './window.ts'

/** The account of an agent with a budget in the window of `now`. */
export function accountOf(budget: Budget, agent: string, now: number): Account {
  return {
    budget: budget.id,
    holder: budget.per === 'crew' ? '*' : agent,
    window: windowOf(budget, now).start,
  }
}

export function sameAccount(one: Account, other: Account): boolean {
  return one.budget === other.budget && one.holder === other.holder && one.window === other.window
}

/** One name for an account: no part of it holds a line feed. */
export function keyOf({ budget, holder, window }: Account): string {
  return `${budget}\n${holder}\n${window}`
}
