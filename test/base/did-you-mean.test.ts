import { expect, test } from 'vitest'
import { didYouMean } from '#base/did-you-mean.ts'

test.each([
  ['hosst', ' (did you mean "hosts"?)'],
  ['host', ' (did you mean "hosts"?)'],
  ['Methods', ' (did you mean "methods"?)'],
  ['zebra', ''],
])('%s is answered with:%s', (word, suggestion) => {
  expect(didYouMean(word, ['hosts', 'methods', 'id'])).toBe(suggestion)
})
