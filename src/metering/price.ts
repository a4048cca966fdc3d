/** What tokens cost: the built-in price table, and what the policy says instead. */
import { LruMap } from '#base/async.ts'
import type { Sound, TokenCounts, Usage } from '#base/usage.ts'
import { find, tablePrice } from './price-table.ts'

/** Prices of one model as a policy gives them: in US dollars for a million tokens, or those of another model of the table. */
export type ModelPrice = OwnPrice | { readonly like: string }

export interface OwnPrice {
  readonly input: number
  readonly output: number
  /** Left out: as `input`. */
  readonly cache_read?: number | undefined
  /** Left out: as `input`. */
  readonly cache_write?: number | undefined
}

/** Prices of the policy by model name; `*` at the end stands for any rest. */
export type PriceList = ReadonlyMap<string, ModelPrice>

/** What is to be priced. */
export interface Priced {
  readonly model: string
  readonly tokens: TokenCounts
  /** Part of `cache_write` kept for an hour; `undefined`: none of it, as five minutes is what providers keep unless they are asked. */
  readonly cacheWriteHour: number | undefined
  readonly searches: number
  readonly sound?: Sound | undefined
  readonly tier: string | undefined
}

/**
 * How the price moves with the way a request is served. The table has list prices only; these are the providers' published
 * factors, each the largest over their models. A word that is not here costs as the dearest.
 */
const tierFactors: Readonly<Record<string, number>> = {
  standard: 1,
  default: 1,
  auto: 1,
  on_demand: 1,
  scale: 1,
  batch: 0.5,
  flex: 0.5,
  priority: 2.5,
  fast: 6,
  // Anthropic's price of staying in one country.
  regional: 1.1,
}
const dearest = 6

const nanoPerDollar = 1e9
/** Anthropic's and OpenAI's price of one web search, in dollars. */
const searchPrice = 0.01

/**
 * The price in nano-dollars (1e-9 USD), rounded up; `undefined`: nobody says what this model costs. `at`: milliseconds since
 * the epoch, as prices change.
 */
export function priceOf(priced: Priced, provider: string, list: PriceList, at: number): number | undefined {
  const own = listed(priced.model, list)?.price
  const numbers = own && !('like' in own) ? own : undefined
  const tokens = numbers
    ? ownPrice(priced, numbers)
    : tablePrice({ ...priced, model: tableName(priced.model, list) }, provider, at)
  const dollars = tokens === undefined ? undefined : tokens + priced.searches * searchPrice
  if (dollars === undefined || !Number.isFinite(dollars) || dollars < 0) return undefined
  const factor = numbers || priced.tier === undefined ? 1 : factorOf(priced.tier)
  // A float a hair above a whole number of nano-dollars is that number.
  return Math.max(0, Math.ceil(dollars * factor * nanoPerDollar - 1e-3))
}

/** Of all words together. */
function factorOf(tier: string): number {
  const words = tier.toLowerCase().split('+')
  return words.reduce((factor, word) => factor * (tierFactors[word] ?? dearest), 1)
}

/** Most tokens the model takes as a prompt; `undefined`: not known. */
export function contextWindow(model: string, provider: string, list: PriceList): number | undefined {
  return find(tableName(model, list), provider)?.model.context_window
}

/** The name under which the table has a model: that of another where the policy says so. */
function tableName(model: string, list: PriceList): string {
  const own = listed(model, list)?.price
  return own && 'like' in own ? own.like : model
}

/** Whether the table has a model. */
export function isInTable(model: string): boolean {
  return find(model, '') !== undefined
}

/** What a reply cost: the larger of our reckoning and the provider's own word; `undefined`: not known. */
export function costOf(usage: Usage, model: string, provider: string, list: PriceList, at: number): number | undefined {
  const parts = [
    priceOf({ ...usage, model }, provider, list, at),
    ...usage.others.map((other) =>
      priceOf(
        { model: other.model ?? model, tokens: other.tokens, cacheWriteHour: undefined, searches: 0, tier: usage.tier },
        provider,
        list,
        at,
      ),
    ),
  ]
  if (parts.includes(undefined)) return usage.reportedCost
  const reckoned = parts.reduce<number>((sum, part) => sum + (part ?? 0), 0)
  return Math.max(reckoned, usage.reportedCost ?? 0)
}

interface Listed {
  /** As the policy writes it. */
  readonly name: string
  readonly price: ModelPrice
}

/** What was found for a name in the list of a policy; names are words of the wire. */
const remembered = new WeakMap<PriceList, LruMap<string, Listed | 'unlisted'>>()

/** The price that a policy gives a model: under its name, or the longest beginning of it. */
function listed(model: string, list: PriceList): Listed | undefined {
  if (list.size === 0) return undefined
  const known = remembered.get(list) ?? new LruMap<string, Listed | 'unlisted'>(1000)
  remembered.set(list, known)
  let found = known.get(model)
  if (!found) known.set(model, (found = lookUp(model, list) ?? 'unlisted'))
  return found === 'unlisted' ? undefined : found
}

function lookUp(model: string, list: PriceList): Listed | undefined {
  const prefixes = [...list.keys()].filter((name) => name.endsWith('*') && model.startsWith(name.slice(0, -1)))
  const [longest = ''] = prefixes.toSorted((one, other) => other.length - one.length)
  const name = list.has(model) ? model : longest
  const price = list.get(name)
  return price && { name, price }
}

function ownPrice({ tokens }: Priced, price: OwnPrice): number {
  const { input, output, cache_read = input, cache_write = input } = price
  const perMillion =
    tokens.input * input + tokens.output * output + tokens.cache_read * cache_read + tokens.cache_write * cache_write
  return perMillion / 1e6
}

/** The name a model is priced under: a word of the table or of the policy, never of the wire; `undefined`: nobody prices it. */
export function pricedName(model: string, provider: string, list: PriceList): string | undefined {
  return listed(model, list)?.name ?? find(model, provider)?.model.id
}
