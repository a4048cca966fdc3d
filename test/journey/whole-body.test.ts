import { describe, expect, it } from 'vitest'
import { MemoryAccount } from '#base/memory-account.ts'
import { readWhole, wholeBody } from '#journey/whole-body.ts'
import { bodyOf } from './parts.ts'

describe('a body that is read whole', () => {
  it.each([
    [['one', ' ', 'two'], 7, 'one two'],
    [['one'], 3, 'one'],
    [[], 0, ''],
  ])('of %j, with room for %d bytes, is %j', async (chunks, cap, text) => {
    expect(Buffer.from(await readWhole(bodyOf(chunks), cap)).toString()).toBe(text)
  })

  it('is refused with the chunk that is too much, and no further one is asked for', async () => {
    let asked = 0
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (;;) {
        asked += 1
        yield Buffer.from('four')
      }
    }
    await expect(readWhole({ ...bodyOf([]), chunks: chunks() }, 10)).rejects.toMatchObject({ code: 'body_too_large' })
    expect(asked).toBe(3)
  })

  it('is refused unread when it says itself that it is too long', async () => {
    const body = { ...bodyOf([new Error('it was read')]), length: 11 }
    await expect(readWhole(body, 10)).rejects.toMatchObject({ code: 'body_too_large' })
  })
})

describe('the room for bodies', () => {
  it('is an agent’s own, and given back when an exchange has ended', async () => {
    const memory = new MemoryAccount({ bytes: 20, agentBytes: 10 })
    {
      using one = memory.open('a')
      expect(await readWhole({ ...bodyOf(['four', 'four']), length: 8, room: one }, 100)).toHaveLength(8)
      using other = memory.open('a')
      await expect(readWhole({ ...bodyOf(['four']), length: 4, room: other }, 100)).rejects.toMatchObject({ code: 'overloaded' })
      using neighbour = memory.open('b')
      expect(await readWhole({ ...bodyOf(['four']), length: 4, room: neighbour }, 100)).toHaveLength(4)
      expect(memory.held).toBe(12)
    }
    expect(memory.held).toBe(0)
  })

  it('is refused before a byte is read to a body that says its length', async () => {
    using room = new MemoryAccount({ bytes: 10 }).open('a')
    const body = { ...bodyOf([new Error('it was read')]), length: 6, room }
    await expect(readWhole(body, 100)).rejects.toMatchObject({ code: 'overloaded' })
  })

  it('counts the old and the new buffer of a body that grows, and one of them after', async () => {
    const memory = new MemoryAccount({ bytes: 1 << 20 })
    using room = memory.open('a')
    const chunks = Array.from({ length: 5 }, () => 'x'.repeat(10_000))
    expect(await readWhole({ ...bodyOf(chunks), room }, 1 << 20)).toHaveLength(50_000)
    expect(memory.held).toBe(64 * 1024)
    using tight = new MemoryAccount({ bytes: 2 * 40 * 1024 }).open('a')
    await expect(readWhole({ ...bodyOf(chunks), room: tight }, 1 << 20)).rejects.toMatchObject({ code: 'overloaded' })
  })

  it('is one allocation for chunks of one byte, and none for a body in memory', async () => {
    const memory = new MemoryAccount({ bytes: 1 << 20 })
    using room = memory.open('a')
    const body = { ...bodyOf(Array.from('x'.repeat(1000))), length: 1000, room }
    const bytes = await readWhole(body, 1000)
    expect(await readWhole(wholeBody(body, bytes), 1000)).toBe(bytes)
    expect(memory.held).toBe(1000)
  })
})
