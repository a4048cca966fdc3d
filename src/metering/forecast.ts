/** What a request may cost before it is sent, and what of that each of its budgets holds. */
import type { TokenCounts } from '#base/usage.ts'
import { accountOf } from './account.ts'
import { weighMost, weighTokens } from './charge.ts'
import { forecast } from './estimate.ts'
import { leastPrompt } from './habits.ts'
import type { Habits } from './habits.ts'
import type { MeteredRequest } from './metered-request.ts'
import { contextWindow, priceOf } from './price.ts'
import type { Amount, Budget, Claim } from './types.ts'

/** A request as it is foreseen, in tokens. */
export interface Foreseen {
  /** The most it may use. */
  readonly most: TokenCounts
  /** The same without what is somewhere else, which may be short. */
  readonly certain: TokenCounts
}

/** The most tokens that a request may use. */
export function foresee(order: MeteredRequest, habits: Habits): Foreseen {
  const { agent, model, provider, hiddenInput } = order
  const window = model === undefined ? undefined : contextWindow(model, provider, order.prices)
  const ratio = habits.ratio(agent, model ?? '')
  const most = forecast({ ...order, window }, ratio)
  return { most, certain: hiddenInput ? forecast({ ...order, hiddenInput: false, window }, ratio) : most }
}

/** The claims of a request on its budgets, which are those in force now; `undefined`: a budget limits money, and the model has no price. */
export function claimsOf(
  order: MeteredRequest,
  budgets: readonly Budget[],
  foreseen: Foreseen,
  habits: Habits,
  now: number,
): readonly Claim[] | undefined {
  const money = budgets.some(({ nano }) => nano !== undefined)
  const price = money ? priceMost(order, foreseen.most, now) : (order.fixed?.nano ?? 0)
  if (price === undefined) return undefined
  return budgets.map((budget) => claimOf(budget, order, foreseen, price, habits, now))
}

function claimOf(
  budget: Budget,
  order: MeteredRequest,
  { most, certain }: Foreseen,
  nano: number,
  habits: Habits,
  now: number,
): Claim {
  const { agent, fixed } = order
  const account = accountOf(budget, agent, now)
  const limit = { tokens: budget.tokens, nano: budget.nano }
  const { whenBlind } = budget
  if (fixed) return { account, limit, hold: fixed, least: fixed, whenBlind }
  const worst = { tokens: weighMost(most, budget), nano }
  const hold = cuttable(order, budget) ? expectedHold(order, budget, worst, habits, now) : worst
  return { account, limit, hold, least: leastOf(order, budget, certain, hold, habits), whenBlind }
}

/** False for a request whose prompt is not all text in its body: what others used says nothing about it. */
function isPlain({ hiddenInput, images = 0, sound }: MeteredRequest): boolean {
  return !hiddenInput && images === 0 && !sound
}

/**
 * Where a reply can be ended at the limit, what most calls use is enough to begin with: a reply that outgrows its hold takes more, or is
 * ended. Where it cannot, the most that it may use is held.
 */
function expectedHold(order: MeteredRequest, budget: Budget, worst: Amount, habits: Habits, now: number): Amount {
  const { agent, model = '', bodyBytes, mostOutput } = order
  const known = isPlain(order) ? habits.expect(agent, model, bodyBytes, budget, now) : undefined
  if (!known?.prompt) return worst
  const tokens = { ...known.prompt, output: Math.min(known.output, mostOutput ?? known.output) }
  const nano = worst.nano === 0 ? 0 : (priceAs(order, tokens, now) ?? worst.nano)
  return { tokens: Math.min(worst.tokens, weighTokens(tokens, budget)), nano: Math.min(worst.nano, nano) }
}

/**
 * What must be left for a request to go alone. A prompt that is sent is charged, so one that surely does not fit is refused; but not on a
 * guess: what is not known of an agent is taken to be cheap, as the reply runs alone.
 */
function leastOf(order: MeteredRequest, budget: Budget, certain: TokenCounts, hold: Amount, habits: Habits): Amount {
  const { agent, model = '', bodyBytes, images = 0, sound } = order
  const known = isPlain(order) ? habits.usual(agent, model, bodyBytes) : undefined
  const guess = leastPrompt(bodyBytes, images > 0 || sound === true)
  const prompt = known ?? (guess.input < certain.input ? guess : { ...certain, output: 0 })
  const share = known && cuttable(order, budget) ? 0.5 : 1
  return { tokens: Math.min(hold.tokens, Math.ceil(weighTokens(prompt, budget) * share) + 1), nano: Math.min(hold.nano, 1) }
}

/** True if a running reply is ended where this budget has nothing left. */
export function cuttable({ stream, fixed }: MeteredRequest, { atLimit }: Budget): boolean {
  return stream && !fixed && atLimit === 'cut'
}

/** The most it can cost in nano-dollars; `undefined`: the price of the model is not known. */
function priceMost(order: MeteredRequest, most: TokenCounts, at: number): number | undefined {
  if (order.fixed) return order.fixed.nano
  const read = priceAs(order, most, at)
  // Written to a cache for an hour, a prompt costs twice as much.
  const written = priceAs(order, { ...most, input: 0, cache_write: most.input }, at)
  return read === undefined ? undefined : Math.max(read, written ?? 0)
}

/** What these tokens cost in nano-dollars. What asks for a cheaper tier may not get it. */
function priceAs({ model, provider, prices, tier, sound }: MeteredRequest, tokens: TokenCounts, at: number): number | undefined {
  if (model === undefined) return undefined
  const priced = {
    model,
    tokens,
    cacheWriteHour: tokens.cache_write,
    searches: 0,
    sound: sound ? tokens : undefined,
    tier: undefined,
  }
  const plain = priceOf(priced, provider, prices, at)
  if (plain === undefined || tier === undefined) return plain
  return Math.max(plain, priceOf({ ...priced, tier }, provider, prices, at) ?? 0)
}
