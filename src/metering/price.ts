/** What tokens cost: the pinned price table of `@pydantic/genai-prices`, and what the policy says instead. */
import { createRequire } from 'node:module'
import type * as Table from '@pydantic/genai-prices'
import { LruMap } from '#base/async.ts'
import type { Sound, TokenCounts, Usage } from '#base/usage.ts'

/** Prices of one model as a policy gives them, in US dollars for a million tokens. */
export interface ModelPrice {
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
  /** Part of `cache_write` kept for an hour; `undefined`: taken for all of it, which is the dearer. */
  readonly cacheWriteHour: number | undefined
  readonly searches: number
  readonly sound?: Sound | undefined
  readonly tier: string | undefined
}

/** Our providers' names in the table; those left out are found by the model alone. */
const tableNames: Readonly<Record<string, string>> = {
  anthropic: 'anthropic',
  openai: 'openai',
  codex: 'openai',
  gemini: 'google',
  vertex: 'google',
  bedrock: 'aws',
  'azure-openai': 'azure',
  openrouter: 'openrouter',
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
  const own = listed(priced.model, list)
  const dollars = own ? ownPrice(priced, own) : tablePrice(priced, provider, at)
  if (dollars === undefined || !Number.isFinite(dollars) || dollars < 0) return undefined
  const factor = own || priced.tier === undefined ? 1 : factorOf(priced.tier)
  // A float a hair above a whole number of nano-dollars is that number.
  return Math.max(0, Math.ceil(dollars * factor * nanoPerDollar - 1e-3))
}

/** Of all words together. */
function factorOf(tier: string): number {
  const words = tier.toLowerCase().split('+')
  return words.reduce((factor, word) => factor * (tierFactors[word] ?? dearest), 1)
}

/** Most tokens the model takes as a prompt; `undefined`: not known. */
export function contextWindow(model: string, provider: string): number | undefined {
  return find(model, provider)?.model.context_window
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

function listed(model: string, list: PriceList): ModelPrice | undefined {
  return list.get(model) ?? list.get(longestPrefix(model, list) ?? '')
}

function longestPrefix(model: string, list: PriceList): string | undefined {
  const prefixes = [...list.keys()].filter((name) => name.endsWith('*') && model.startsWith(name.slice(0, -1)))
  return prefixes.toSorted((one, other) => other.length - one.length)[0]
}

function ownPrice({ tokens, searches }: Priced, price: ModelPrice): number {
  const { input, output, cache_read = input, cache_write = input } = price
  const perMillion =
    tokens.input * input + tokens.output * output + tokens.cache_read * cache_read + tokens.cache_write * cache_write
  return perMillion / 1e6 + searches * searchPrice
}

function tablePrice(
  { model, tokens, cacheWriteHour, searches, sound }: Priced,
  provider: string,
  at: number,
): number | undefined {
  const usage: Record<string, number> = {
    // The table's input holds the cached tokens too.
    input_tokens: tokens.input + tokens.cache_read + tokens.cache_write,
    output_tokens: tokens.output,
  }
  if (tokens.cache_read > 0) usage['cache_read_tokens'] = tokens.cache_read
  if (tokens.cache_write > 0) {
    usage['cache_write_tokens'] = tokens.cache_write
    usage['cache_write_1h_tokens'] = Math.min(cacheWriteHour ?? tokens.cache_write, tokens.cache_write)
  }
  if (sound) {
    // What of it was cached is not said: then all of it is what was not.
    usage['cache_audio_read_tokens'] = 0
    usage['input_audio_tokens'] = Math.min(sound.input, tokens.input)
    usage['output_audio_tokens'] = Math.min(sound.output, tokens.output)
  }
  const found = find(model, provider)
  if (!found) return undefined
  try {
    const reckoned = prices().calcPrice(usage, model, { provider: found.provider, timestamp: new Date(at) })
    return reckoned ? reckoned.total_price + searches * searchPrice : undefined
  } catch {
    // A model the table knows, with a class of tokens it has no price for.
    return undefined
  }
}

const load = createRequire(import.meta.url)
let table: typeof Table | undefined

/** Half a megabyte of data, which a proxy without a meter never needs: read with the first question. */
function prices(): typeof Table {
  return (table ??= load('@pydantic/genai-prices') as typeof Table)
}

/** A model of the table, and its provider with this model alone: to find one among thousands costs more than to reckon with it. */
interface Known {
  readonly model: Table.ModelInfo
  readonly provider: Table.Provider
}

/** What was found for a name, which is a word of the wire. */
const remembered = new LruMap<string, Known | 'unknown'>(1000)

function find(model: string, provider: string): Known | undefined {
  const key = `${provider} ${model}`
  let known = remembered.get(key)
  if (!known) remembered.set(key, (known = lookUp(model, provider)))
  return known === 'unknown' ? undefined : known
}

function lookUp(model: string, provider: string): Known | 'unknown' {
  const providerId = tableNames[provider]
  const { calcPrice } = prices()
  try {
    const priced = (providerId === undefined ? null : calcPrice({}, model, { providerId })) ?? calcPrice({}, model)
    return priced ? { model: priced.model, provider: { ...priced.provider, models: [priced.model] } } : 'unknown'
  } catch {
    return 'unknown'
  }
}

/** The name a model is priced under: a word of the table or of the policy, never of the wire; `undefined`: nobody prices it. */
export function pricedName(model: string, provider: string, list: PriceList): string | undefined {
  if (list.has(model)) return model
  return longestPrefix(model, list) ?? find(model, provider)?.model.id
}
