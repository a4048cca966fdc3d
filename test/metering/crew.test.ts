import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { usageWith } from '#base/usage.ts'
import { compileBudget } from '#metering/compile.ts'
import { accountOf, Admissions } from '#metering/admissions.ts'
import type { MeteredRequest } from '#metering/admissions.ts'
import type { Reservation } from '#metering/reservation.ts'
import type { Budget, Ledger } from '#metering/types.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import { figure } from '../kit/figures.ts'
import { makeLedger } from '../kit/ledger.ts'
import { countedOf } from './usages.ts'

/**
 * Ten clients like Claude Code at the end of a budget: each sends the same 100 kB again and again, most of it cached, allows 32,000 tokens of
 * output and uses some hundred. Time runs twenty times as fast as it does for them.
 */
const limit = 5_000_000
const scale = 20
const patience = 30_000 / scale

interface Crew {
  readonly weights: Budget['weights']
  readonly left: number
  /** Agents among which the ten are divided; they share the budget. Default 1. */
  readonly agents?: number
  /** What is known of them when the end comes. Default: what they used before, in the same process. */
  readonly known?: 'kept over a restart' | 'nothing'
  /** The share of what is left that they must be able to spend. Default 0.95. */
  readonly least?: number
}

interface Told {
  readonly served: readonly number[]
  readonly busy: number
  /** Replies that were ended at the limit. */
  readonly cut: number
  readonly refused: readonly string[]
  readonly spent: number
  readonly waits: readonly number[]
  /** While a client waited, the most often that one other was served. */
  readonly passed: number
}

async function work({ weights, left, known, agents = 1 }: Crew, ledger: Ledger): Promise<Told> {
  const open = () => new Admissions({ ledger, clock, news: () => {}, patience })
  let desk = open()
  const budget: Budget = {
    ...compileBudget('day', {
      per: 'crew',
      window: 'day',
      timezone: 'UTC',
      warnAt: [],
      atLimit: 'cut',
      whenBlind: 'refuse',
      weights: {},
      tokens: limit,
    }),
    weights,
  }
  const served = Array.from({ length: 10 }, () => 0)
  const told = { busy: 0, cut: 0, refused: [] as string[], waits: [] as number[], passed: 0 }
  let serial = 0
  let ending = false
  const call = async (client: number): Promise<'served' | 'busy' | 'refused'> => {
    const abort = new AbortController()
    const before = [...served]
    const begun = performance.now()
    const id = `${client}-${(serial += 1)}`
    const held = await desk.admit(
      orderOf(id, client % agents, budget, () => {
        told.cut += 1
        abort.abort()
      }),
      new AbortController().signal,
    )
    if (ending) {
      told.waits.push((performance.now() - begun) * scale)
      const others = served.map((count, i) => (i === client ? 0 : count - (before[i] ?? 0)))
      if (held.kind === 'held') told.passed = Math.max(told.passed, ...others)
    }
    if (held.kind === 'refused') {
      if (held.code !== 'budget_busy') told.refused.push(held.reason)
      return held.code === 'budget_busy' ? 'busy' : 'refused'
    }
    if (ending) served[client] = (served[client] ?? 0) + 1
    await stream(held, abort.signal, client * 31 + serial * 17)
    return 'served'
  }
  // A morning's work, which is learned from.
  const rounds = known === 'nothing' ? 0 : 3
  for (let round = 0; round < rounds; round += 1) await Promise.all(served.map((_, client) => call(client)))
  if (known === 'kept over a restart') {
    await desk.close()
    desk = open()
  }
  const account = accountOf(budget, 'agent-0', ledger.now())
  await desk.ledger.set(account, { tokens: limit - left, nano: 0 })
  ending = true
  await Promise.all(
    served.map(async (_, client) => {
      for (;;) {
        const how = await call(client)
        if (how === 'busy') told.busy += 1
        if (how === 'refused') return
        await sleep(400 / scale)
      }
    }),
  )
  const [balance] = await desk.ledger.balances([account])
  await desk.close()
  return { ...told, served, spent: (balance?.spent.tokens ?? 0) - (limit - left) }
}

function orderOf(id: string, agent: number, budget: Budget, cut: () => void): MeteredRequest {
  return {
    id,
    agent: `agent-${agent}`,
    budgets: [budget],
    provider: 'anthropic',
    model: 'claude-opus-4-5',
    bodyBytes: 100_000,
    mostOutput: 32_000,
    hiddenInput: false,
    stream: true,
    prices: new Map(),
    fixed: undefined,
    cut,
  }
}

/** A reply: two seconds until it begins, and 80 tokens a second, as its agent's clock runs. */
async function stream(held: Reservation, cut: AbortSignal, seed: number): Promise<void> {
  const tokens = { input: 300, cache_read: 24_200, cache_write: 500, output: 1 }
  const output = 120 + ((seed * 7919) % 700)
  const counted = (visibleOutput: number, final: boolean) =>
    countedOf({
      usage: usageWith({ model: 'claude-opus-4-5', tokens: { ...tokens, output: final ? output : 1 } }),
      final,
      visibleOutput,
    })
  await sleep(2_000 / scale)
  for (let seen = 0; seen < output && !cut.aborted; seen += 40) {
    held.watch(counted(seen, false))
    await sleep(500 / scale)
    if (cut.aborted) return void (await held.settle({ counted: counted(seen, false), complete: false, stream: true }))
  }
  await held.settle({ counted: counted(output, true), complete: true, stream: true })
}

const cheap = { input: 1, cache_read: 0.1, cache_write: 1.25, output: 1 }
const alike = { input: 1, cache_read: 1, cache_write: 1, output: 1 }

const rows: readonly (readonly [string, Crew])[] = [
  ['200,000 of 5,000,000 left, cached prompts at a tenth', { left: 200_000, weights: cheap }],
  ['30,000 of 5,000,000 left, cached prompts at a tenth', { left: 30_000, weights: cheap }],
  ['200,000 of 5,000,000 left, every token alike', { left: 200_000, weights: alike }],
  // One call costs 25,000 and more: what is left after it is not enough for half a prompt.
  ['30,000 of 5,000,000 left, every token alike', { left: 30_000, weights: alike, least: 0.8 }],
  ['200,000 left, of three agents', { left: 200_000, weights: cheap, agents: 3 }],
  ['30,000 left after a restart', { left: 30_000, weights: cheap, known: 'kept over a restart' }],
  ['200,000 left, of strangers', { left: 200_000, weights: cheap, known: 'nothing' }],
]

describe.concurrent('ten clients at the end of a budget', () => {
  it.each(rows)('%s: they spend it, and all of them have their turn', { timeout: 60_000 }, async (what, crew) => {
    await using made = await makeLedger()
    const { served, busy, cut, refused, spent, waits, passed } = await work(crew, made.ledger)
    const calls = served.reduce((sum, each) => sum + each, 0)
    const sorted = waits.toSorted((one, other) => one - other)
    const quantile = (share: number) => ((sorted[Math.floor(sorted.length * share)] ?? 0) / 1000).toFixed(1)
    const share = spent / crew.left
    const over = (spent - crew.left) / limit
    figure(
      `${what}: ${calls} calls served (${Math.min(...served)} to ${Math.max(...served)} a client), ${busy} busy, ${cut} cut, ` +
        `${(100 * share).toFixed(1)} % of it spent (${(100 * over).toFixed(2)} % of the limit over), ` +
        `waits p50 ${quantile(0.5)} s, p99 ${quantile(0.99)} s, at most ${passed} turns of one other while a client waited; last: ${refused.at(-1)}`,
    )
    expect(share).toBeGreaterThanOrEqual(crew.least ?? 0.95)
    expect(over).toBeLessThanOrEqual(0.004)
    expect(busy / (calls + busy)).toBeLessThan(0.05)
    expect(passed).toBeLessThanOrEqual(2)
  })
})
