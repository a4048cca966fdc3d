import { describe, expect, test } from 'vitest'
import type { ManualClock } from '../kit/clock.ts'
import { figure } from '../kit/figures.ts'
import { hour, keeping, minute, second, settled } from './keeping.ts'

const storms = 20

/** A clock that goes as another one does, and shows another time. */
function skewed(clock: ManualClock, milliseconds: number) {
  return {
    now: () => clock.now() + milliseconds,
    elapsed: () => clock.elapsed(),
    later: (wait: number, act: () => void) => clock.later(wait, act),
  }
}

describe('two replicas whose clocks differ', () => {
  test.each([-150, -35, 0, 35, 150])('by %i s keep the login through 20 storms', async (skew) => {
    let revoked = 0
    let calls = 0
    for (let storm = 0; storm < storms; storm += 1) {
      const gate = Promise.withResolvers<void>()
      const one = await keeping({ expiresIn: 3600, ports: { abandonedAfter: 120 * second }, delay: () => gate.promise })
      const two = await one.beside({ clock: skewed(one.clock, skew * second) })
      const [first, other] = storm % 2 === 0 ? [one, two] : [two, one]
      one.clock.advance(2 * hour)
      const asked = [first.value()]
      await settled()
      // The token endpoint takes fifteen seconds, and the other replica is asked all the while.
      asked.push(...Array.from({ length: 20 }, () => other.value()))
      await one.pass(15 * second, 250)
      gate.resolve()
      await one.pass(2 * second, 250)
      expect(new Set(await Promise.all(asked)).size).toBe(1)
      if (!one.provider.alive) revoked += 1
      calls += one.provider.calls
      await Promise.all([one.vault.close(), two.vault.close()])
    }
    figure(`skew ${skew} s: ${storms} storms, ${calls} token calls, ${revoked} families revoked`)
    expect([revoked, calls]).toEqual([0, storms])
  })

  test('take over a mark of a replica that died after two minutes of their own, whatever its clock said', async () => {
    for (const skew of [-400 * 24 * hour, -150 * second, 150 * second, 400 * 24 * hour]) {
      const one = await keeping({ ports: { abandonedAfter: 120 * second } })
      await one.vault.close()
      one.clock.advance(2 * hour)
      await one.store.begin('claude', 1, one.clock.now() + skew)
      const two = await one.beside()
      // Agents keep asking; none of them waits for all of it.
      for (let passed = 0; passed < 118; passed += 2) {
        void two.value()
        await two.pass(2 * second, 250)
      }
      expect(two.provider.calls).toBe(0)
      void two.value()
      await two.pass(4 * second, 250)
      expect([two.provider.calls, two.provider.alive]).toEqual([1, true])
    }
  })
})

test('a request that meets the mark of a dead replica is refused after a stated time and does not hang', async () => {
  const one = await keeping({ ports: { abandonedAfter: 120 * second } })
  await one.vault.close()
  one.clock.advance(2 * hour)
  await one.store.begin('claude', 1, one.clock.now())
  const two = await one.beside()
  const began = two.clock.elapsed()
  let ended: number | undefined
  void two.value().then((code) => {
    expect(code).toBe('credential_unavailable')
    ended = two.clock.elapsed() - began
  })
  await two.pass(minute, 250)
  figure(`refused after ${(ended ?? 0) / 1000} s`)
  expect(ended).toBeLessThan(26 * second)
})
