import { describe, expect, it } from 'vitest'
import { LruMap } from '#base/async.ts'

function mapOf(limit: number, keys: readonly number[]): LruMap<number, string> {
  const map = new LruMap<number, string>(limit)
  for (const key of keys) map.set(key, String(key))
  return map
}

describe('a map that forgets what was not used', () => {
  it('drops the entry that was used longest ago, where it is small', () => {
    const map = mapOf(3, [1, 2, 3])
    expect([map.get(1), map.get(3), map.get(1)]).toEqual(['1', '3', '1'])
    map.set(4, '4')
    expect([1, 2, 3, 4].map((key) => map.get(key))).toEqual(['1', undefined, '3', '4'])
    expect(map.size).toBe(3)
  })

  it('never drops an entry that was used among the last three quarters of its limit', () => {
    const limit = 100
    const map = mapOf(limit, [0])
    for (let key = 1; key <= 1_000; key += 1) {
      map.set(key, String(key))
      if (key % 60 === 0) expect(map.get(0), `after ${key}`).toBe('0')
    }
    expect(map.size).toBe(limit)
    expect(map.get(900)).toBeUndefined()
  })

  it('writes a value anew, and forgets what is deleted', () => {
    const map = mapOf(2, [1, 2])
    map.set(1, 'one')
    expect(map.values()).toEqual(['2', 'one'])
    expect([map.delete(2), map.delete(2)]).toEqual([true, false])
    map.clear()
    expect(map.size).toBe(0)
  })
})
