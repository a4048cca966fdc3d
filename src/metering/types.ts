/**
 * metering/ answers: may this request be paid for, and what did it cost in the end? Pure: windows, weights, prices, holds. The
 * balances are the Ledger's, which store/ keeps. Its neighbours: providers/ reports usage, journey/ asks before it sends and
 * settles after.
 */

/** A budget of the policy, compiled; or that of one run, which lasts as long as the run does. */
export type Budget = Ceiling &
  (
    | { readonly window: CalendarWindow; readonly span?: undefined }
    | { readonly window: 'run'; readonly span: { readonly start: number; readonly end: number } }
  )

export type CalendarWindow = 'hour' | 'day' | 'week' | 'month'

interface Ceiling {
  readonly id: string
  readonly per: 'agent' | 'crew'
  /** IANA name. */
  readonly timezone: string
  /** Most weighted tokens in a window; `undefined`: no limit on tokens. */
  readonly tokens: number | undefined
  /** Most nano-dollars (1e-9 USD) in a window; `undefined`: no limit on money. */
  readonly nano: number | undefined
  /** Shares of the limit at which to warn, ascending. */
  readonly warnAt: readonly number[]
  readonly atLimit: 'refuse' | 'cut'
  /** What becomes of requests while the ledger cannot be asked and nothing is set aside for them. */
  readonly whenBlind: 'refuse' | 'allow'
  readonly weights: Readonly<Record<'input' | 'cache_read' | 'cache_write' | 'output', number>>
}

/** Weighted tokens and nano-dollars (1e-9 USD), both whole and never negative. */
export interface Amount {
  readonly tokens: number
  readonly nano: number
}

/** What is charged where: one account is one budget of one agent (or crew) in one window. */
export interface Account {
  readonly budget: string
  /** The agent; `*` when the crew shares it. */
  readonly holder: string
  /** Milliseconds since the epoch when the window began. */
  readonly window: number
}

/** A claim of one request on one account. */
export interface Claim {
  readonly account: Account
  readonly limit: { readonly tokens: number | undefined; readonly nano: number | undefined }
  /** What the request may cost at most, as far as can be known before. */
  readonly hold: Amount
  /** Remaining below which no tail request is let in. */
  readonly least: Amount
  /** While the ledger cannot be asked; default `refuse`. */
  readonly whenBlind?: Budget['whenBlind'] | undefined
}

/** On what a request runs while the ledger cannot be asked. */
export type Blind = 'leased' | 'allowed'

export type Reserved =
  /** On disk. `tail`: one of the holds did not fit, and what was left was held instead; no other runs beside it on that account. */
  | {
      readonly kind: 'held'
      readonly holds: readonly Amount[]
      readonly tail: boolean
      /** Nobody could be asked: it runs on what was set aside for this replica, or since its budgets allow it. */
      readonly blind?: Blind
    }
  /** Does not fit beside what is running; may once that has settled. */
  | { readonly kind: 'busy'; readonly account: Account }
  | Exhausted

/** Used up, or too little is left. */
export interface Exhausted {
  readonly kind: 'exhausted'
  readonly account: Account
  readonly measure: 'tokens' | 'usd'
  readonly balance: Balance
}

/** An account as it stands. */
export interface Balance {
  readonly account: Account
  readonly spent: Amount
  /** Of running requests; not spent yet. */
  readonly held: Amount
  readonly requests: number
}

/** Something learned, such as what the calls of an agent to a model use, and its name. */
export interface Lesson {
  readonly name: string
  readonly text: string
}

/**
 * The one owner of balances. Every promise resolves after its write is durable. Amounts are whole numbers. A second
 * `reserve` or `settle` of an id changes nothing and gives the first answer. Throws `StoreError`.
 */
export interface Ledger {
  /** Resolves when it can be asked; `now` is reliable from then on. */
  open(): Promise<void>
  /**
   * Milliseconds since the epoch by the ledger's clock, which never goes backwards, not over a restart either: the time
   * windows are reckoned with.
   */
  now(): number
  /**
   * Holds all claims or none. A request waits for room only behind others; alone it gets what is left (the tail). `deadline`:
   * milliseconds since the epoch after which the hold becomes a charge unless it was extended.
   */
  reserve(id: string, claims: readonly Claim[], deadline: number): Promise<Reserved>
  /** Moves the deadline of holds whose requests still run. Those that have become charges stay so. */
  extend(ids: readonly string[], deadline: number): Promise<void>
  /**
   * Makes a hold smaller, one amount for each claim in their order; an amount that is larger than the hold changes nothing. It is
   * no tail any more: others may run beside it. A hold that has become a charge is refunded as much.
   */
  shrink(id: string, holds: readonly Amount[]): Promise<void>
  /**
   * Takes the hold off and charges what it cost, one amount for each claim in their order. A hold that has become a charge is
   * corrected; where none is known the amounts are charged to `accounts` all the same. `requests`: what the charge counts as,
   * default 1.
   */
  settle(id: string, accounts: readonly Account[], amounts: readonly Amount[], requests?: number): Promise<void>
  /** Takes the hold off: nothing was spent. */
  release(id: string): Promise<void>
  /** Balances of these accounts, in their order; zeros where nothing was ever charged. */
  balances(accounts: readonly Account[]): Promise<readonly Balance[]>
  /** Sets what counts as spent, for an operator. Holds stay. */
  set(account: Account, spent: Amount): Promise<void>
  /**
   * Takes a mark for an account once: `true` for the first who asks. For events that are told once a window.
   */
  mark(account: Account, mark: string): Promise<boolean>
  /** Every account with spend whose window began at or after `since`, milliseconds since the epoch. */
  accounts(since: number): Promise<readonly Balance[]>
  /** Keeps what was learned under these names, in place of what was there. */
  learn(lessons: readonly Lesson[]): Promise<void>
  /** Everything that was learned. */
  lessons(): Promise<readonly Lesson[]>
  close(): Promise<void>
}
