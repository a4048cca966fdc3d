import { describe, expect, it } from 'vitest'
import { Recent } from '#observe/recent.ts'

const line = (id: number, more = '') => Buffer.from(JSON.stringify({ id: String(id), more }))
const idsOf = (lines: readonly string[]) => lines.map((each) => (JSON.parse(each) as { id: string }).id)

describe('the recent lines', () => {
  it('are the last thousand, oldest first, or those after one that is still known', () => {
    const recent = new Recent()
    expect(recent.after(undefined)).toEqual([])
    for (let id = 1; id <= 1_234; id += 1) recent.add(line(id))
    const all = idsOf(recent.after(undefined)).map(Number)
    expect([all.length, all[0], all.at(-1)]).toEqual([1_000, 235, 1_234])
    expect(all).toEqual(all.toSorted((one, other) => one - other))
    expect(idsOf(recent.after('1232'))).toEqual(['1233', '1234'])
    expect(recent.after('1234')).toEqual([])
    expect(recent.after('1')).toHaveLength(1_000)
  })

  it('are as many as a mebibyte holds where they are long, each of them whole', () => {
    const recent = new Recent()
    for (let id = 1; id <= 2_000; id += 1) recent.add(line(id, 'x'.repeat((id * 37) % 6_000)))
    const all = recent.after(undefined)
    const ids = idsOf(all).map(Number)
    expect(ids).toEqual(Array.from(ids, (_, i) => 2_001 - ids.length + i))
    expect(all.join('').length).toBeGreaterThan(1_000_000 - 6_000)
    expect(all.join('').length).toBeLessThanOrEqual(1 << 20)
    recent.add(Buffer.alloc((1 << 20) + 1))
    expect(recent.after(undefined)).toEqual(all)
  })
})
