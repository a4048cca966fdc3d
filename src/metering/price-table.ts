/** The pinned price table of `@pydantic/genai-prices`: each model is looked up once, and then reckoned with by its rates. */
import { createRequire } from 'node:module'
import type * as Table from '@pydantic/genai-prices'
import { LruMap } from '#base/async.ts'
import type { Sound, TokenCounts } from '#base/usage.ts'

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

/** Milliseconds for which rates are used again: prices of the table change at dates and at times of the day, to the minute. */
const fresh = 60_000

/** US dollars for a token of each class; `undefined`: the table has no price for it. */
interface Rates {
  readonly input: number | undefined
  readonly output: number | undefined
  readonly read: number | undefined
  readonly write: number | undefined
  readonly writeHour: number | undefined
}

/** A model of the table, and its provider with this model alone: to find one among thousands costs more than to reckon with it. */
interface Known {
  /** As it was asked for: the table matches names, and does not know its own ids by all of them. */
  readonly name: string
  readonly model: Table.ModelInfo
  readonly provider: Table.Provider
  /** The minute its rates are of. */
  minute: number
  /** Tokens of a prompt above which the next tier begins, ascending; most models have none. */
  tiers: readonly number[]
  /** One for each tier. */
  rates: (Rates | undefined)[]
}

export interface TablePriced {
  readonly model: string
  readonly tokens: TokenCounts
  /** Part of `cache_write` kept for an hour; `undefined`: none of it. */
  readonly cacheWriteHour: number | undefined
  readonly sound?: Sound | undefined
}

/** US dollars; `undefined`: the table does not have the model, or a price for a class of these tokens. */
export function tablePrice(priced: TablePriced, provider: string, at: number): number | undefined {
  const known = find(priced.model, provider)
  if (!known) return undefined
  if (priced.sound) return soundPrice(priced, priced.sound, known, at)
  const { tokens, cacheWriteHour = 0 } = priced
  const rates = ratesOf(known, tokens.input + tokens.cache_read + tokens.cache_write, at)
  const hour = Math.min(cacheWriteHour, tokens.cache_write)
  const parts = [
    costOf(tokens.input, rates.input),
    costOf(tokens.output, rates.output),
    costOf(tokens.cache_read, rates.read),
    costOf(tokens.cache_write - hour, rates.write),
    costOf(hour, rates.writeHour),
  ]
  let sum = 0
  for (const part of parts) {
    if (part === undefined) return undefined
    sum += part
  }
  return sum
}

function costOf(tokens: number, rate: number | undefined): number | undefined {
  return tokens === 0 ? 0 : rate === undefined ? undefined : tokens * rate
}

/** The rates for a prompt of this length. */
function ratesOf(known: Known, prompt: number, at: number): Rates {
  const minute = Math.floor(at / fresh)
  if (known.minute !== minute) {
    known.minute = minute
    known.tiers = tiersOf(known, at)
    known.rates = []
  }
  const tier = known.tiers.findLastIndex((start) => prompt > start) + 1
  return (known.rates[tier] ??= probe(known, lengthIn(known.tiers, tier), at))
}

/** A length of prompt that is in this tier. */
function lengthIn(tiers: readonly number[], tier: number): number {
  return tiers[tier] ?? 2 * (tiers[tier - 1] ?? 500_000)
}

function tiersOf(known: Known, at: number): readonly number[] {
  const priced = calculate(known, {}, at)
  const starts = Object.values(priced?.model_price ?? {}).flatMap((price) =>
    typeof price === 'object' ? price.tiers.map(({ start }) => start) : [],
  )
  return [...new Set(starts)].toSorted((one, other) => one - other)
}

/** Prices are so much a token within a tier, so one question for each class tells them all. */
function probe(known: Known, length: number, at: number): Rates {
  const price = (usage: Table.Usage) => calculate(known, { input_tokens: length, ...usage }, at)?.total_price
  const each = (whole: number | undefined) => (whole === undefined ? undefined : whole / length)
  const input = price({})
  const both = price({ output_tokens: length })
  return {
    input: each(input),
    output: input === undefined || both === undefined ? undefined : (both - input) / length,
    read: each(price({ cache_read_tokens: length })),
    write: each(price({ cache_write_tokens: length, cache_write_1h_tokens: 0 })),
    writeHour: each(price({ cache_write_tokens: length, cache_write_1h_tokens: length })),
  }
}

/** Sound has prices of its own, and is rare: the table is asked. */
function soundPrice({ tokens, cacheWriteHour = 0 }: TablePriced, sound: Sound, known: Known, at: number): number | undefined {
  const usage: Record<string, number> = {
    // The table's input holds the cached tokens too.
    input_tokens: tokens.input + tokens.cache_read + tokens.cache_write,
    output_tokens: tokens.output,
    // What of it was cached is not said: then all of it is what was not.
    cache_audio_read_tokens: 0,
    input_audio_tokens: Math.min(sound.input, tokens.input),
    output_audio_tokens: Math.min(sound.output, tokens.output),
  }
  if (tokens.cache_read > 0) usage['cache_read_tokens'] = tokens.cache_read
  if (tokens.cache_write > 0) {
    usage['cache_write_tokens'] = tokens.cache_write
    usage['cache_write_1h_tokens'] = Math.min(cacheWriteHour, tokens.cache_write)
  }
  return calculate(known, usage, at)?.total_price
}

function calculate({ name, provider }: Known, usage: Table.Usage, at: number): Table.PriceCalculationResult | undefined {
  try {
    return prices().calcPrice(usage, name, { provider, timestamp: new Date(at) }) ?? undefined
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

/** What was found for a name, which is a word of the wire; by provider, so that no name has to be put together. */
const remembered = new Map<string, LruMap<string, Known | 'unknown'>>()

/** The model of this name in the table; `undefined`: the table does not have it. */
export function find(model: string, provider: string): Known | undefined {
  let ofProvider = remembered.get(provider)
  if (!ofProvider) remembered.set(provider, (ofProvider = new LruMap(1000)))
  let known = ofProvider.get(model)
  if (!known) ofProvider.set(model, (known = lookUp(model, provider)))
  return known === 'unknown' ? undefined : known
}

function lookUp(model: string, provider: string): Known | 'unknown' {
  const providerId = tableNames[provider]
  const { calcPrice } = prices()
  try {
    const priced = (providerId === undefined ? null : calcPrice({}, model, { providerId })) ?? calcPrice({}, model)
    if (!priced) return 'unknown'
    return {
      name: model,
      model: priced.model,
      provider: { ...priced.provider, models: [priced.model] },
      minute: -1,
      tiers: [],
      rates: [],
    }
  } catch {
    return 'unknown'
  }
}
