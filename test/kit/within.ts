import { setTimeout as sleep } from 'node:timers/promises'

/** Asks again every few milliseconds; answers after how many it held, or `undefined` when it never did. */
export async function within(ask: () => boolean | Promise<boolean>, timeout = 10_000): Promise<number | undefined> {
  const began = performance.now()
  while (performance.now() - began < timeout) {
    if (await ask()) return performance.now() - began
    await sleep(20)
  }
  return undefined
}
