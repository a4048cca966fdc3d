import { describe, expect, it } from 'vitest'
import { MemoryAccount } from '#base/memory-account.ts'

describe('the memory account', () => {
  it('refuses one agent what is past its share and leaves room for another', () => {
    const account = new MemoryAccount({ bytes: 100, agentBytes: 60 })
    const one = account.open('a')
    const two = account.open('a')
    expect(one.take(40)).toBe(true)
    expect(two.take(21)).toBe(false)
    expect(two.take(20)).toBe(true)
    expect(account.open('b').take(40)).toBe(true)
    expect(account.held).toBe(100)
  })

  it('refuses what is past the whole even if the agent has room', () => {
    const account = new MemoryAccount({ bytes: 100, agentBytes: 60 })
    account.open('a').take(60)
    expect(account.open('b').take(41)).toBe(false)
    expect(account.held).toBe(60)
  })

  it('keeps a share for connections whose agent is not known', () => {
    const account = new MemoryAccount({ bytes: 100, unknownBytes: 10 })
    expect(account.open(undefined).take(10)).toBe(true)
    expect(account.open(undefined).take(1)).toBe(false)
    expect(account.open('a').take(50)).toBe(true)
  })

  it('gives everything back once when a share is disposed, and forgets the agent', () => {
    const account = new MemoryAccount({ bytes: 100 })
    const share = account.open('a')
    share.take(30)
    share.give(10)
    expect(share.held).toBe(20)
    share[Symbol.dispose]()
    share[Symbol.dispose]()
    expect([account.held, account.agents]).toEqual([0, 0])
    expect(share.take(1)).toBe(false)
  })

  it.each([Number.NaN, -1, Infinity])('takes nothing for %s bytes', (bytes) => {
    const account = new MemoryAccount({ bytes: 100 })
    expect(account.open('a').take(bytes)).toBe(false)
    expect(account.held).toBe(0)
  })

  it('gives back no more than the share holds', () => {
    const account = new MemoryAccount({ bytes: 100 })
    const share = account.open('a')
    share.take(5)
    share.give(50)
    share.give(-50)
    expect([share.held, account.held]).toEqual([0, 0])
  })
})
