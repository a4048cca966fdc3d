/** Whether a claim fits its account. `redis/ledger-script.ts` says the same in Lua; one suite of tests holds both to it. */
import type { Amount, Balance, Claim, Reserved } from '#metering/types.ts'

const measures = [
  { measure: 'tokens', unit: 'tokens' },
  { measure: 'usd', unit: 'nano' },
] as const

export type Judged =
  | { readonly kind: 'fits'; readonly hold: Amount; readonly tail: boolean }
  | Extract<Reserved, { readonly kind: 'busy' | 'exhausted' }>

/** What is on an account already; `tail`: somebody runs on what was left. */
export type Met = Balance & { readonly holds: number; readonly tail: boolean }

/** What one claim meets on its account. Alone, it is given what is left; beside others, it waits for its room. */
export function judge(claim: Claim, balance: Met | undefined): Judged {
  if (!balance) return { kind: 'busy', account: claim.account }
  const { limit, hold, least, account } = claim
  const { spent, held, requests } = balance
  const shown = { account, spent, held, requests }
  let tail = false
  const granted: { tokens: number; nano: number } = { ...hold }
  for (const { measure, unit } of measures) {
    const most = limit[unit]
    if (most === undefined) continue
    const left = most - spent[unit]
    if (left <= 0 || (left < hold[unit] && left < least[unit])) return { kind: 'exhausted', account, measure, balance: shown }
    if (held[unit] + hold[unit] <= left) continue
    tail = true
    granted[unit] = Math.min(hold[unit], left)
  }
  if (balance.holds > 0 && (tail || balance.tail)) return { kind: 'busy', account }
  return { kind: 'fits', hold: granted, tail }
}
