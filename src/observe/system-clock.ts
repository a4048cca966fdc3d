import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '#base/clock.ts'

/** The machine's own time, for all rooms of the running product. */
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
  const end = performance.now() + milliseconds
  while (!holds() && performance.now() < end) await sleep(10)
}
