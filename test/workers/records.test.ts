import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { AuditRecord } from '#journey/types.ts'
import { Records } from '#workers/records.ts'

const record = (id: string) => ({ id }) as AuditRecord

it('records of one turn go in one message, in their order, and none twice', async () => {
  const sent: (readonly AuditRecord[])[] = []
  const records = new Records((batch) => sent.push(batch))
  for (const id of ['a', 'b', 'c']) records.write(record(id))
  expect(sent).toEqual([])
  await turn()
  expect(sent.map((batch) => batch.map(({ id }) => id))).toEqual([['a', 'b', 'c']])
  records.write(record('d'))
  records.flush()
  records.flush()
  await turn()
  expect(sent.map((batch) => batch.length)).toEqual([3, 1])
})
