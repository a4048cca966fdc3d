import type { Amount } from './types.ts'

export const nothing: Amount = Object.freeze({ tokens: 0, nano: 0 })

export function plus(one: Amount, other: Amount): Amount {
  return { tokens: one.tokens + other.tokens, nano: one.nano + other.nano }
}

export function minus(one: Amount, other: Amount): Amount {
  return { tokens: one.tokens - other.tokens, nano: one.nano - other.nano }
}

/** The smaller of two amounts, measure by measure. */
export function lesser(one: Amount, other: Amount): Amount {
  return { tokens: Math.min(one.tokens, other.tokens), nano: Math.min(one.nano, other.nano) }
}
