import type { Account, Amount } from '#metering/types.ts'

/** Throws RangeError unless all are whole numbers that no sum of a window can carry past what a number holds. */
export function mustBeWhole(...amounts: readonly Amount[]): void {
  for (const { tokens, nano } of amounts) {
    for (const each of [tokens, nano]) {
      if (!Number.isSafeInteger(each) || each < 0) throw new RangeError(`${each} is not an amount: a whole number, not negative`)
    }
  }
}

/** One name for an account: JSON keeps its parts apart. */
export function accountKey({ budget, holder, window }: Account): string {
  return JSON.stringify([budget, holder, window])
}

/** The account of such a name; `undefined`: it is none. */
export function accountOfKey(key: string): Account | undefined {
  try {
    const [budget, holder, window] = JSON.parse(key) as readonly unknown[]
    if (typeof budget === 'string' && typeof holder === 'string' && typeof window === 'number') return { budget, holder, window }
  } catch {
    // It is no JSON.
  }
  return undefined
}
