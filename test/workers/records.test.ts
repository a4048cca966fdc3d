import { expect, it, vi } from 'vitest'
import { linesOf, Records } from '#workers/records.ts'
import type { Lines } from '#workers/records.ts'
import { record } from '../observe/records.ts'

const idsOf = (lines: Lines) =>
  [...linesOf(structuredClone(lines))].map((line) => (JSON.parse(Buffer.from(line).toString()) as { id: string }).id)

it('records go in one message for all of a moment, in their order, and none twice', async () => {
  const sent: Lines[] = []
  const records = new Records((lines) => sent.push(lines))
  for (const id of ['a', 'b', 'c']) records.write(record({ id, path: '/'.padEnd(2_000, 'x') }))
  expect(sent).toEqual([])
  await vi.waitFor(() => expect(sent.map(idsOf)).toEqual([['a', 'b', 'c']]))
  records.write(record({ id: 'd' }))
  records.flush()
  records.flush()
  expect(sent.map(idsOf)).toEqual([['a', 'b', 'c'], ['d']])
})

it('a message does not wait once it has 32 KiB', () => {
  const sent: Lines[] = []
  const records = new Records((lines) => sent.push(lines))
  for (let i = 0; i < 40; i += 1) records.write(record({ path: '/'.padEnd(2_000, 'x') }))
  expect(sent.map(({ ends }) => ends.length)).toEqual([14, 14])
  expect(sent.every(({ bytes }) => bytes.length >= 32 * 1024)).toBe(true)
  records.flush()
})
