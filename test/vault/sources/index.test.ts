import { expect, it } from 'vitest'
import { sources } from '#vault/sources/index.ts'

it.each([{ file: '/x' }, { env: 'X' }, { file: '/x', jsonKey: 'k' }])('%j is read by one source', (ref) => {
  expect(sources({}).filter((source) => source.owns(ref))).toHaveLength(1)
})
