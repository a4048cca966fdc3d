import { expect, it } from 'vitest'
import { connectionsWithin, mostFiles } from '#listeners/descriptors.ts'

it.each([
  [1_024, 256],
  [4_096, 1_536],
  [65_536, 32_256],
  [Infinity, Infinity],
])('of %d files agents may take %d for connections', (files, connections) => {
  expect(connectionsWithin(files)).toBe(connections)
})

it('the system says how many there are', () => {
  expect(mostFiles()).toBeGreaterThan(0)
})
