import type { Counted } from '#base/usage.ts'

/** What was counted of a reply that reported nothing, but for what is given. */
export function countedOf(parts: Partial<Counted> = {}): Counted {
  return { usage: undefined, final: false, visibleOutput: 0, failed: false, lost: false, ...parts }
}
