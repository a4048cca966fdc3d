import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { Address } from '#base/address.ts'
import { MemoryAccount } from '#base/memory-account.ts'
import { Handshakes } from '#listeners/handshakes.ts'

const [a, b] = ['10.0.0.1', '10.0.0.2'] as [Address, Address]

function line(memory = new MemoryAccount({ bytes: 256 << 20 })) {
  const handshakes = new Handshakes(memory)
  const begun: { readonly from: Address; readonly place: Disposable }[] = []
  const enter = (from: Address): Socket => {
    const socket = new EventEmitter() as Socket
    handshakes.enter(from, socket, (place) => begun.push({ from, place }))
    return socket
  }
  return { begun, enter, from: (address: Address) => begun.filter(({ from }) => from === address).length }
}

describe('handshakes under way', () => {
  it('are 128 of one address, and the others of it wait for their end', () => {
    const { begun, enter, from } = line()
    for (let i = 0; i < 200; i += 1) enter(a)
    enter(b)
    expect([from(a), from(b)]).toEqual([128, 1])
    begun[0]?.place[Symbol.dispose]()
    begun[0]?.place[Symbol.dispose]()
    expect(from(a)).toBe(129)
    for (let i = 1; i < 200; i += 1) begun[i]?.place[Symbol.dispose]()
    expect(from(a)).toBe(200)
  })

  it('that closed while they waited never begin', () => {
    const { begun, enter, from } = line()
    const sockets = Array.from({ length: 130 }, () => enter(a))
    sockets[128]?.emit('close')
    for (const each of begun.slice(0, 2)) each.place[Symbol.dispose]()
    expect(from(a)).toBe(129)
  })

  it('fit into the room of those who are not known, and give it back', () => {
    const memory = new MemoryAccount({ bytes: 1 << 30, unknownBytes: 20 * 64 * 1024 })
    const { begun, enter, from } = line(memory)
    for (let i = 0; i < 30; i += 1) enter(a)
    enter(b)
    expect([from(a), from(b)]).toEqual([20, 0])
    begun[0]?.place[Symbol.dispose]()
    begun[1]?.place[Symbol.dispose]()
    expect([from(a), from(b)]).toEqual([21, 1])
    for (let i = 2; i < begun.length; i += 1) begun[i]?.place[Symbol.dispose]()
    expect(memory.held).toBe(0)
  })

  it('are 16 even where no byte is left', () => {
    const { enter, from } = line(new MemoryAccount({ bytes: 0 }))
    for (let i = 0; i < 20; i += 1) enter(a)
    expect(from(a)).toBe(16)
  })
})
