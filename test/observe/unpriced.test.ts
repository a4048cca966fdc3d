import { expect, it } from 'vitest'
import { UnpricedModels } from '#observe/unpriced.ts'

it('the last fifty models without a price are kept, newest first', () => {
  const models = new UnpricedModels()
  models.observe({ unpriced: undefined })
  for (let i = 0; i < 60; i += 1) models.observe({ unpriced: { meter: 'codex', model: `m${i}` } })
  models.observe({ unpriced: { meter: 'codex', model: 'm30' } })
  expect(models.list()).toHaveLength(50)
  expect(models.list().slice(0, 2)).toEqual([
    { meter: 'codex', model: 'm30' },
    { meter: 'codex', model: 'm59' },
  ])
})
