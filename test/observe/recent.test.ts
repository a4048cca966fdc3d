import { describe, expect, it } from 'vitest'
import { Recent } from '#observe/recent.ts'
import type { AuditRecord } from '#journey/types.ts'

const record = (id: number) => ({ id: String(id) }) as AuditRecord

describe('the recent records', () => {
  it('are the last thousand, oldest first, or those after one that is still known', () => {
    const recent = new Recent()
    expect(recent.after(undefined)).toEqual([])
    for (let id = 1; id <= 1_234; id += 1) recent.add(record(id))
    const all = recent.after(undefined).map(({ id }) => Number(id))
    expect([all.length, all[0], all.at(-1)]).toEqual([1_000, 235, 1_234])
    expect(all).toEqual(all.toSorted((one, other) => one - other))
    expect(recent.after('1232').map(({ id }) => id)).toEqual(['1233', '1234'])
    expect(recent.after('1234')).toEqual([])
    expect(recent.after('1')).toHaveLength(1_000)
  })
})
