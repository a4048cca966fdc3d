import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { noTokens, usageWith } from '#base/usage.ts'
import { compileBudget } from '#metering/compile.ts'
import type { BudgetText } from '#metering/compile.ts'
import { accountOf, Admissions } from '#metering/admissions.ts'
import type { MeteredRequest } from '#metering/admissions.ts'
import type { Reservation } from '#metering/reservation.ts'
import type { BudgetEvent, BudgetRefusal } from '#metering/notice.ts'
import type { Budget } from '#metering/types.ts'
import { ManualClock } from '../kit/clock.ts'
import { makeLedger } from '../kit/ledger.ts'
import type { TestLedger } from '../kit/ledger.ts'
import { within } from '../kit/within.ts'
import { countedOf } from './usages.ts'

let on: TestLedger
let clock: ManualClock
let news: BudgetEvent[]
let desk: Admissions
let cuts: BudgetRefusal[]

beforeEach(async () => {
  on = await makeLedger()
  clock = new ManualClock()
  news = []
  cuts = []
  desk = new Admissions({ ledger: on.ledger, clock, news: (event) => news.push(event), patience: 1000 })
})

afterEach(async () => {
  await desk.close()
  await on[Symbol.asyncDispose]()
})

const budget = (parts: Partial<BudgetText> = {}): Budget =>
  compileBudget('day', {
    per: 'agent',
    window: 'day',
    timezone: 'UTC',
    warnAt: [],
    atLimit: 'refuse',
    whenBlind: 'refuse',
    weights: {},
    tokens: 1000,
    ...parts,
  })

let count = 0
const order = (some: Partial<MeteredRequest> = {}): MeteredRequest => ({
  id: `order-${(count += 1)}`,
  agent: 'devbot',
  budgets: [budget()],
  provider: 'anthropic',
  model: 'claude-opus-4-5',
  bodyBytes: 200,
  mostOutput: 100,
  hiddenInput: false,
  stream: true,
  prices: new Map(),
  fixed: undefined,
  cut: (refusal) => cuts.push(refusal),
  ...some,
})

const signal = new AbortController().signal
async function admit(some: Partial<MeteredRequest> = {}): Promise<Reservation> {
  const held = await desk.admit(order(some), signal)
  if (held.kind === 'refused') throw new Error(held.reason)
  return held
}

const used = (input: number, output: number) => {
  const counted = countedOf({
    usage: usageWith({ model: 'claude-opus-4-5', tokens: { ...noTokens, input, output } }),
    final: true,
  })
  return { counted, complete: true, stream: true }
}

async function balance(of = budget()) {
  const [found] = await on.ledger.balances([accountOf(of, 'devbot', on.ledger.now())])
  return { spent: found?.spent.tokens, held: found?.held.tokens, nano: found?.spent.nano }
}

describe('the desk', () => {
  it('holds the prompt as foreseen and the output at most, and charges what it was', async () => {
    const held = await admit()
    expect(await balance()).toMatchObject({ spent: 0, held: 200 })
    expect(await held.settle(used(40, 7))).toMatchObject({ exact: true, model: 'claude-opus-4-5', cost: 40 * 5000 + 7 * 25_000 })
    expect(await balance()).toMatchObject({ spent: 47, held: 0 })
    expect(desk.running).toBe(0)
  })

  it('releases what failed', async () => {
    const held = await admit()
    await held.release()
    expect(await balance()).toMatchObject({ spent: 0, held: 0 })
  })

  it('charges the whole hold where nothing was reported', async () => {
    const held = await admit()
    expect(await held.settle({ counted: countedOf({ visibleOutput: 5 }), complete: true, stream: true })).toMatchObject({
      usage: undefined,
      exact: false,
    })
    expect(await balance()).toMatchObject({ spent: 200 })
  })

  it('charges what was seen of a reply that broke off', async () => {
    const held = await admit()
    const counted = countedOf({ usage: usageWith({ tokens: { ...noTokens, input: 40, output: 1 } }), visibleOutput: 30 })
    expect(await held.settle({ counted, complete: false, stream: true })).toMatchObject({
      exact: false,
      usage: { tokens: { input: 40, output: 30 } },
    })
    expect(await balance()).toMatchObject({ spent: 70 })
  })

  it('learns how long prompts of an agent are', async () => {
    await (await admit({ bodyBytes: 1000 })).settle(used(300, 1))
    await admit({ bodyBytes: 1000, mostOutput: 0 })
    expect((await balance()).held).toBe(Math.ceil(1000 * 0.3 * 1.15))
  })

  it('holds the whole window for a prompt that is somewhere else, and lets it go alone with less', async () => {
    const wide = budget({ tokens: 1_000_000 })
    await admit({ budgets: [wide], hiddenInput: true })
    expect((await balance(wide)).held).toBeGreaterThanOrEqual(200_000)
    const narrow = { ...budget({ tokens: 1000 }), id: 'narrow' }
    const alone = await admit({ budgets: [narrow], hiddenInput: true })
    expect((await balance(narrow)).held).toBe(1000)
    await alone.settle(used(300, 20))
    expect(await balance(narrow)).toMatchObject({ spent: 320, held: 0 })
  })

  it('is not ended for a prompt that may be short, and is charged what was left where nobody tells', async () => {
    const narrow = budget({ tokens: 1000, atLimit: 'cut' })
    const alone = await admit({ budgets: [narrow], hiddenInput: true })
    alone.watch(countedOf({ visibleOutput: 50 }))
    await new Promise((go) => setTimeout(go, 20))
    expect(cuts).toEqual([])
    alone.watch(countedOf({ visibleOutput: 1200 }))
    await expect.poll(() => cuts.length).toBe(1)
    await alone.settle({ counted: countedOf({ visibleOutput: 50 }), complete: false, stream: true })
    expect(await balance(narrow)).toMatchObject({ spent: 1000, held: 0 })
  })

  it('holds for images, and learns nothing from them', async () => {
    const wide = budget({ tokens: 1_000_000 })
    const held = await admit({ budgets: [wide], images: 4, bodyBytes: 1000 })
    expect((await balance(wide)).held).toBe(20_000 + 500 + 100)
    await held.settle(used(900, 1))
    await admit({ budgets: [wide], bodyBytes: 1000 })
    expect((await balance(wide)).held).toBe(500 + 100)
  })

  it.each([
    ['priority', 2.5],
    ['fast', 6],
    ['flex', 1],
    ['auto', 1],
  ])('holds the money of the tier %s, and never less than without one', async (tier, factor) => {
    const money = budget({ tokens: undefined, usd: 100 })
    const heldFor = async (asked: string | undefined) => {
      const held = await admit({ budgets: [money], tier: asked })
      const [found] = await on.ledger.balances([accountOf(money, 'devbot', on.ledger.now())])
      await held.release()
      return found?.held.nano ?? 0
    }
    const plain = await heldFor(undefined)
    expect(plain).toBeGreaterThan(0)
    expect(await heldFor(tier)).toBe(plain * factor)
  })

  it('holds the money of sound where a request has some', async () => {
    const money = budget({ tokens: undefined, usd: 1000 })
    const heldFor = async (sound: boolean) => {
      const held = await admit({
        budgets: [money],
        provider: 'openai',
        model: 'gpt-audio',
        mostOutput: 1000,
        bodyBytes: 0,
        sound,
      })
      const [found] = await on.ledger.balances([accountOf(money, 'devbot', on.ledger.now())])
      await held.release()
      return found?.held.nano
    }
    expect([await heldFor(false), await heldFor(true)]).toEqual([10_000_000, 64_000_000])
  })

  it('counts a request without a budget and touches no ledger', async () => {
    const held = await admit({ budgets: [] })
    expect(await held.settle(used(1, 2))).toMatchObject({ exact: true })
    expect(await balance()).toMatchObject({ spent: 0 })
  })

  it('charges the fixed price of a rule, whatever came', async () => {
    const held = await admit({ fixed: { tokens: 50, nano: 10 }, model: undefined })
    expect(await held.settle({ counted: countedOf(), complete: true, stream: false })).toMatchObject({ cost: 10 })
    expect(await balance()).toMatchObject({ spent: 50 })
  })

  it('keeps who does not fit waiting until there is room', async () => {
    const first = await admit({ mostOutput: 800 })
    const second = desk.admit(order({ mostOutput: 800 }), signal)
    let settled = false
    void second.then(() => (settled = true))
    await first.settle(used(10, 10))
    expect(await within(() => settled)).toBeDefined()
    expect((await second).kind).toBe('held')
  })

  it('counts who waits, and says for how long they did', async () => {
    const first = await admit({ mostOutput: 800 })
    const second = desk.admit(order({ mostOutput: 800 }), signal)
    expect(await within(() => desk.waiting['day'] === 1)).toBeDefined()
    clock.advance(400)
    await first.settle(used(10, 10))
    const held = await second
    expect([held.kind, held.waited, desk.waiting]).toEqual(['held', 400, {}])
  })

  it('refuses a stranger on no guess: what may fit goes alone', async () => {
    const wide = budget({ tokens: 5_000_000 })
    await on.ledger.set(accountOf(wide, 'devbot', on.ledger.now()), { tokens: 5_000_000 - 49_500, nano: 0 })
    const held = await admit({ budgets: [wide], bodyBytes: 100_000, mostOutput: 32_000 })
    await held.settle(used(25_000, 500))
    expect(await balance(wide)).toMatchObject({ spent: 5_000_000 - 24_000, held: 0 })
  })

  it('says that a request does not fit what is left, which is not used up, and knows it after a restart too', async () => {
    const wide = budget({ tokens: 5_000_000 })
    for (let i = 0; i < 4; i += 1) await (await admit({ budgets: [wide], bodyBytes: 100_000 })).settle(used(25_000, 500))
    await desk.close()
    desk = new Admissions({ ledger: on.ledger, clock, news: (event) => news.push(event) })
    const ask = async (left: number) => {
      await on.ledger.set(accountOf(wide, 'devbot', on.ledger.now()), { tokens: 5_000_000 - left, nano: 0 })
      return desk.admit(order({ budgets: [wide], bodyBytes: 100_000, mostOutput: 32_000 }), signal)
    }
    expect(await ask(20_000)).toMatchObject({
      code: 'budget_insufficient',
      reason: expect.stringMatching(
        /^Daily token budget "day", agent devbot: this request does not fit what is left \(20000 of 5000000 tokens; this request needs about 25001 tokens\); resets .*Z\. A shorter one may\.$/,
      ) as string,
    })
    expect(news).toEqual([])
    const held = await ask(26_000)
    expect(held.kind).toBe('held')
    if (held.kind === 'held') await held.release()
    expect(await ask(0)).toMatchObject({ code: 'budget_exhausted' })
  })

  it('says so when the wait is too long, and stops waiting when its agent leaves', async () => {
    await admit({ mostOutput: 800 })
    const late = desk.admit(order({ mostOutput: 800 }), signal)
    const stop = new AbortController()
    const left = desk.admit(order({ mostOutput: 800 }), stop.signal)
    stop.abort(new Error('gone'))
    await expect(left).rejects.toThrow('gone')
    let refusal: unknown
    void late.then((held) => (refusal = held))
    expect(await within(() => (clock.advance(500), refusal !== undefined))).toBeDefined()
    expect(refusal).toMatchObject({
      code: 'budget_busy',
      budget: 'day',
      reason: expect.stringContaining('this request asks for about'),
    })
  })

  it('refuses what is used up, with who, how much and until when', async () => {
    await (await admit()).settle(used(990, 20))
    expect(await desk.admit(order(), signal)).toMatchObject({
      kind: 'refused',
      code: 'budget_exhausted',
      budget: 'day',
      reason: expect.stringContaining('agent devbot, 1010 of 1000 tokens; resets ') as string,
    })
  })

  it('holds a request to all of its budgets', async () => {
    const team = compileBudget('team', {
      per: 'crew',
      window: 'month',
      timezone: 'UTC',
      warnAt: [],
      atLimit: 'refuse',
      whenBlind: 'refuse',
      weights: {},
      tokens: 150,
    })
    const held = await admit({ budgets: [budget(), team] })
    await held.settle(used(100, 60))
    expect((await balance(team)).spent).toBe(160)
    expect(await desk.admit(order({ budgets: [budget(), team] }), signal)).toMatchObject({ budget: 'team' })
    expect((await desk.admit(order(), signal)).kind).toBe('held')
  })

  it('refuses a model without a price where money is limited', async () => {
    const money = budget({ tokens: undefined, usd: 1 })
    expect(await desk.admit(order({ budgets: [money], model: 'unheard-of' }), signal)).toMatchObject({ code: 'model_unpriced' })
    expect(await desk.admit(order({ budgets: [money], model: undefined }), signal)).toMatchObject({ code: 'model_unpriced' })
    const priced = await admit({
      budgets: [money],
      model: 'unheard-of',
      prices: new Map([['unheard-of', { input: 1, output: 2 }]]),
    })
    await priced.settle({
      ...used(10, 10),
      counted: countedOf({ usage: usageWith({ tokens: { ...noTokens, input: 10, output: 10 } }), final: true }),
    })
    expect(await balance(money)).toMatchObject({ nano: 10 * 1000 + 10 * 2000 })
  })

  it('tells each threshold once in a window', async () => {
    const warned = budget({ warnAt: [0.5, 0.8] })
    for (const output of [400, 200, 100, 100, 300]) {
      const held = await desk.admit(order({ budgets: [warned], mostOutput: 1 }), signal)
      if (held.kind === 'held') await held.settle(used(0, output))
    }
    expect(news.map(({ kind, share }) => [kind, share])).toEqual([
      ['warning', 0.5],
      ['warning', 0.8],
      ['exhausted', 1],
    ])
  })
})

describe('a running reply', () => {
  const cutting = budget({ atLimit: 'cut' })
  const seen = (visibleOutput: number) =>
    countedOf({ usage: usageWith({ tokens: { ...noTokens, input: 100, output: 1 } }), visibleOutput })

  it('that outgrows its hold is ended once its budget has nothing else left', async () => {
    const held = await admit({ budgets: [cutting], mostOutput: 5000 })
    held.watch(seen(500))
    await within(() => false, 100)
    expect(cuts).toEqual([])
    held.watch(seen(950))
    expect(await within(() => cuts.length > 0)).toBeDefined()
    held.watch(seen(2000))
    expect(cuts).toMatchObject([{ code: 'budget_exhausted' }])
  })

  it('that outgrows its hold goes on while there is room', async () => {
    const held = await admit({ budgets: [cutting], mostOutput: 10 })
    held.watch(seen(300))
    await within(() => false, 100)
    expect(cuts).toEqual([])
  })

  it('is not ended by a budget that lets replies end', async () => {
    const held = await admit({ mostOutput: 5000 })
    held.watch(seen(9000))
    await within(() => false, 100)
    expect(cuts).toEqual([])
  })

  it('is ended when its budget was used up by others, at the latest with the next sign of life', async () => {
    await admit({ budgets: [cutting], mostOutput: 10 })
    await on.ledger.set(accountOf(cutting, 'devbot', on.ledger.now()), { tokens: 1000, nano: 0 })
    clock.advance(10_000)
    expect(await within(() => cuts.length > 0)).toBeDefined()
    expect(news.map(({ kind }) => kind)).toEqual(['exhausted'])
  })

  it('gives a sign of life while it runs, so that its hold stays one', async () => {
    await admit()
    const [before] = await on.ledger.balances([accountOf(budget(), 'devbot', on.ledger.now())])
    expect(before?.held.tokens).toBe(200)
    clock.advance(10_000)
    expect(desk.running).toBe(1)
  })
})

describe('a ledger that cannot be written', () => {
  it('refuses who has a budget, and owes what was spent until it can be', async () => {
    const held = await admit()
    const settle = on.ledger.settle.bind(on.ledger)
    on.ledger.settle = () => Promise.reject(new Error('disk full'))
    expect(await held.settle(used(40, 7))).toMatchObject({ exact: true })
    expect(desk.owed).toBe(1)
    on.ledger.settle = settle
    clock.advance(10_000)
    expect(await within(() => desk.owed === 0)).toBeDefined()
    expect(await balance()).toMatchObject({ spent: 47, held: 0 })
  })
})

describe('while the ledger cannot be asked', () => {
  const told: string[] = []
  const blindly = (): Admissions => {
    told.length = 0
    const ledger = Object.create(on.ledger, {
      open: { value: () => Promise.reject(new Error('away')) },
      reserve: { value: () => Promise.reject(new Error('away')) },
      settle: { value: () => Promise.reject(new Error('away')) },
      now: { value: () => clock.now() },
    }) as typeof on.ledger
    return new Admissions({ ledger, clock, news: () => {}, blind: ({ id }, how) => told.push(`${id} ${how}`) })
  }

  it('a request is refused, and told', async () => {
    desk = blindly()
    await expect(admit()).rejects.toThrow('away')
    expect(told).toEqual(['day refused'])
  })

  it('one whose budgets all allow it goes on, and is charged when the ledger is back', async () => {
    desk = blindly()
    const open = budget({ whenBlind: 'allow' })
    const held = await admit({ budgets: [open] })
    expect(told).toEqual(['day allowed'])
    await held.release()
    await expect(admit({ budgets: [open, budget()] })).rejects.toThrow('away')
  })
})
