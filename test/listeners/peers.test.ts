import { describe, expect, it } from 'vitest'
import type { Address } from '#base/address.ts'
import { costs, Peers } from '#listeners/peers.ts'
import { ManualClock } from '../kit/clock.ts'

const address = '10.0.0.1' as Address

describe('what an address may cause', () => {
  it('is a burst, and comes back with time', () => {
    const clock = new ManualClock()
    const peers = new Peers(clock)
    for (let i = 0; i < 1000; i += 1) expect(peers.charge(address, costs.reset)).toBe(true)
    expect(peers.charge(address, costs.settings)).toBe(false)
    expect([peers.isSpent(address), peers.isSpent('10.0.0.2' as Address)]).toEqual([true, false])
    clock.advance(40)
    expect(peers.isSpent(address)).toBe(false)
  })

  it('is owed for what came before it could be stopped, up to 100 seconds of it', () => {
    const clock = new ManualClock()
    const peers = new Peers(clock)
    for (let i = 0; i < 100_000; i += 1) peers.charge(address, costs.reset)
    clock.advance(99_000)
    expect(peers.isSpent(address)).toBe(true)
    clock.advance(2_000)
    expect(peers.isSpent(address)).toBe(false)
  })

  it('is ten pings for one reset', () => {
    const peers = new Peers(new ManualClock())
    for (let i = 0; i < 9_990; i += 1) expect(peers.charge(address, costs.ping)).toBe(true)
  })
})
