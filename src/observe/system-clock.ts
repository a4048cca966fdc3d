import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '#base/clock.ts'

/** The time of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  later(milliseconds, act) {
    const timer = setTimeout(act, milliseconds)
    return () => clearTimeout(timer)
  },
}

/** Looks again every few milliseconds, for as many as given. */
export async function waitUntil(holds: () => boolean, milliseconds: number): Promise<void> {
  const end = systemClock.elapsed() + milliseconds
  while (!holds() && systemClock.elapsed() < end) await sleep(10)
}
