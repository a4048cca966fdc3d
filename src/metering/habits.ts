/** What the calls of an agent to a model use, learned from what their replies report. */
import { LruMap } from '#base/async.ts'
import { noTokens } from '#base/usage.ts'
import type { TokenCounts } from '#base/usage.ts'
import { promptOf, weighTokens } from './charge.ts'
import { Calibration, usualRatio } from './estimate.ts'
import type { Budget, Lesson } from './types.ts'

/** Calls remembered of each agent and model: enough for a high quantile, and gone after an hour's work. */
const most = 32
/** Calls below which nothing is concluded. */
const least = 3
/** Agents and models. */
const mostHabits = 1000
/** The share of calls that used no more than what a hold begins with. */
const high = 0.95
/** The next body is another one. */
const margin = 1.05
/**
 * Milliseconds for which prompts are taken for as cheap as the last ones: providers keep a cached prompt for five minutes after its last
 * use, and then all agents write it anew at once.
 */
const warm = 240_000

/** One call: bytes of its body, and what it used. */
interface Sample {
  readonly bytes: number
  readonly tokens: TokenCounts
}

interface Habit {
  /** The newest is last. */
  readonly samples: Sample[]
  /** Milliseconds since the epoch of the last one. */
  at: number
  /** How many were learned here. */
  count: number
  /** What a byte of body came to, of late. */
  usual: TokenCounts
  /** By the weights of a budget: to sort the samples for each request would cost more than all else of it. */
  readonly views: WeakMap<Budget['weights'], View>
}

/** What the samples say, when there were so many. */
interface View {
  readonly count: number
  readonly high: Sample
  readonly output: number
}

/** How much the last call weighs in what is usual. */
const newest = 1 / 8

export type Weights = Pick<Budget, 'weights'>

/** What a call is expected to use at most, as a budget weighs it. */
export interface ExpectedUse {
  /** A high quantile of prompts, as long as the body of this one; `undefined`: too little is known of them, or not of late. */
  readonly prompt: TokenCounts | undefined
  /** A high quantile of outputs. */
  readonly output: number
}

/** Learns, and is kept in the ledger, so that a restart does not make every agent a stranger. */
export class Habits {
  readonly #calibration = new Calibration()
  readonly #habits = new LruMap<string, Habit>(mostHabits)
  /** What was learned since it was last kept. */
  readonly #fresh = new Set<string>()

  /** Tokens for a byte of request body, on the high side. */
  ratio(agent: string, model: string): number {
    return this.#calibration.ratio(agent, model)
  }

  /** `whole`: the prompt was in the body, and nothing but text. `at`: milliseconds since the epoch. */
  learn(
    call: { readonly agent: string; readonly model: string; readonly bytes: number; readonly whole: boolean },
    tokens: TokenCounts,
    at: number,
  ): void {
    const { agent, model, bytes, whole } = call
    if (whole) this.#calibration.learn(agent, model, bytes, promptOf(tokens))
    const name = nameOf(agent, model)
    const habit = this.#habits.get(name) ?? newHabit(at)
    habit.count += 1
    habit.usual = mean(habit.usual, { bytes, tokens }, habit.samples.length === 0 ? 1 : newest)
    if (habit.samples.push({ bytes, tokens }) > most) habit.samples.shift()
    habit.at = Math.max(habit.at, at)
    this.#habits.set(name, habit)
    this.#fresh.add(name)
  }

  /** `undefined`: too little is known. */
  expect(agent: string, model: string, bytes: number, weights: Weights, now: number): ExpectedUse | undefined {
    const habit = this.#habits.get(nameOf(agent, model))
    if (!habit || habit.samples.length < least) return undefined
    const view = viewOf(habit, weights)
    return {
      prompt: now - habit.at < warm ? promptLike(view.high, bytes, margin) : undefined,
      output: Math.ceil(view.output * margin),
    }
  }

  /** The prompt that is usual for a body of this length; `undefined`: too little is known. */
  usual(agent: string, model: string, bytes: number): TokenCounts | undefined {
    const habit = this.#habits.get(nameOf(agent, model))
    return habit && habit.samples.length >= least ? promptLike({ bytes: 1, tokens: habit.usual }, bytes, 1) : undefined
  }

  /** What the ledger has not been given yet; it counts as given. */
  lessons(): readonly Lesson[] {
    const names = [...this.#fresh]
    this.#fresh.clear()
    return names.flatMap((key) => {
      const habit = this.#habits.get(key)
      const name = JSON.stringify([kind, ...key.split('\n')])
      return habit ? [{ name, text: JSON.stringify({ at: habit.at, samples: habit.samples.map(written) }) }] : []
    })
  }

  /** The ledger could not take them. */
  keep(lessons: readonly Lesson[]): void {
    for (const { name } of lessons) {
      const key = keyOf(name)
      if (key !== undefined) this.#fresh.add(key)
    }
  }

  /** Takes in what the ledger kept; what was learned here since is newer, and what makes no sense is left out. */
  recall(lessons: readonly Lesson[]): void {
    for (const { name, text } of lessons) {
      const read = readHabit(text)
      const key = keyOf(name)
      if (!read || key === undefined || this.#habits.get(key)) continue
      this.#habits.set(key, read)
      const [agent = '', model = ''] = key.split('\n')
      for (const { bytes, tokens } of read.samples) this.#calibration.learn(agent, model, bytes, promptOf(tokens))
    }
  }
}

function newHabit(at: number): Habit {
  return { samples: [], at, count: 0, usual: noTokens, views: new WeakMap() }
}

/** Tokens for a byte of body, with one call more in them. */
function mean(before: TokenCounts, { bytes, tokens }: Sample, weight: number): TokenCounts {
  const share = weight / Math.max(bytes, 1)
  const rest = 1 - weight
  return {
    input: before.input * rest + tokens.input * share,
    cache_read: before.cache_read * rest + tokens.cache_read * share,
    cache_write: before.cache_write * rest + tokens.cache_write * share,
    output: 0,
  }
}

/** Looked at anew after every eighth part of what is remembered. */
function viewOf(habit: Habit, { weights }: Weights): View {
  const known = habit.views.get(weights)
  const { samples, count } = habit
  if (known && count - known.count < samples.length / 8) return known
  const dear = samples.map(({ bytes, tokens }) => weighTokens({ ...tokens, output: 0 }, { weights }) / Math.max(bytes, 1))
  const outputs = samples.map(({ tokens }) => tokens.output)
  const view: View = {
    count,
    high: samples[placeOf(dear, high)] ?? nothing,
    output: outputs[placeOf(outputs, high)] ?? 0,
  }
  habit.views.set(weights, view)
  return view
}

/** The prompt of a call, if its body had so many bytes. */
function promptLike({ bytes, tokens }: Sample, size: number, factor: number): TokenCounts {
  const scale = (size / Math.max(bytes, 1)) * factor
  return {
    input: Math.ceil(tokens.input * scale),
    cache_read: Math.ceil(tokens.cache_read * scale),
    cache_write: Math.ceil(tokens.cache_write * scale),
    output: 0,
  }
}

const nothing: Sample = { bytes: 1, tokens: noTokens }

/** Where in `values` the one is that this share of them does not pass. */
function placeOf(values: readonly number[], share: number): number {
  const order = values.map((_, i) => i).toSorted((one, other) => (values[one] ?? 0) - (values[other] ?? 0))
  return order[Math.min(order.length - 1, Math.ceil(order.length * share) - 1)] ?? 0
}

/** One name for an agent and a model. A model is a word of the wire, so it may hold what parts the two. */
function nameOf(agent: string, model: string): string {
  return `${agent}\n${model.includes('\n') ? '' : model}`
}

/** What a lesson of ours is named by. */
const kind = 'calls'

/** The agent and model of a lesson; `undefined`: it is none of ours. */
function keyOf(name: string): string | undefined {
  try {
    const [word, agent, model] = JSON.parse(name) as readonly unknown[]
    return word === kind && typeof agent === 'string' && typeof model === 'string' ? nameOf(agent, model) : undefined
  } catch {
    return undefined
  }
}

function written({ bytes, tokens: { input, cache_read, cache_write, output } }: Sample): readonly number[] {
  return [bytes, input, cache_read, cache_write, output]
}

function readHabit(text: string): Habit | undefined {
  try {
    const { at, samples } = JSON.parse(text) as { readonly at: unknown; readonly samples: readonly (readonly unknown[])[] }
    const whole = samples
      .slice(-most)
      .map((words) => words.map((word) => (typeof word === 'number' && word >= 0 ? Math.floor(word) : 0)))
    if (typeof at !== 'number' || whole.length === 0) return undefined
    const habit = newHabit(at)
    for (const [bytes = 0, input = 0, cacheRead = 0, cacheWrite = 0, output = 0] of whole) {
      const sample = { bytes, tokens: { input, cache_read: cacheRead, cache_write: cacheWrite, output } }
      habit.usual = mean(habit.usual, sample, habit.samples.length === 0 ? 1 : newest)
      habit.samples.push(sample)
    }
    return habit
  } catch {
    return undefined
  }
}

/** The least that a prompt may be in tokens while nothing is known of its agent: prose in large letters, and images by their bytes. */
export function leastPrompt(bytes: number, dense: boolean): TokenCounts {
  return { input: Math.floor(bytes * (dense ? usualRatio.dense : usualRatio.text)), cache_read: 0, cache_write: 0, output: 0 }
}
