import { describe, expect, it } from 'vitest'
import { BodyMemory, readWhole } from '#journey/whole-body.ts'
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

describe('the memory for bodies', () => {
  it('is shared by all, and given back when an exchange has ended', async () => {
    const memory = new BodyMemory(10)
    {
      using one = memory.open()
      expect(await readWhole({ ...bodyOf(['four', 'four']), keep: one.keep }, 100)).toHaveLength(8)
      using other = memory.open()
      await expect(readWhole({ ...bodyOf(['four']), keep: other.keep }, 100)).rejects.toMatchObject({ code: 'overloaded' })
      expect(memory.kept).toBe(8)
    }
    expect(memory.kept).toBe(0)
    using next = memory.open()
    expect(await readWhole({ ...bodyOf(['0123456789']), keep: next.keep }, 100)).toHaveLength(10)
  })
})
