import type { Clock } from '#base/clock.ts'

/** Resolves when the work has ended, at the latest at `until` on the monotonic clock; the work goes on. */
export async function waitUntil(clock: Clock, until: number, work: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const cancel = clock.later(Math.max(0, until - clock.elapsed()), resolve)
  await Promise.race([work, late])
  cancel()
}
