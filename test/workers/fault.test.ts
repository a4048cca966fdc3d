import { expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { StoreError } from '#store/store-error.ts'
import { errorOf, packed } from '#workers/fault.ts'

const listen = Object.assign(new Error('x'), { syscall: 'listen', code: 'EADDRINUSE', address: '::1', port: 443 })

it.each([
  [
    new ProxyError('needs_login', 'the login has ended'),
    { name: 'ProxyError', code: 'needs_login', message: 'the login has ended' },
  ],
  [new StoreError('store_full', 'no space'), { code: 'store_full', message: 'no space' }],
  [listen, { code: 'EADDRINUSE', address: '::1', port: 443, message: 'listen EADDRINUSE: ::1:443' }],
  [new RangeError('what nobody foresaw'), { message: 'RangeError on another thread' }],
  ['thrown', { message: 'string on another thread' }],
])('%s crosses as far as it is known', (error, expected) => {
  expect(errorOf(structuredClone(packed(error)))).toMatchObject(expected)
})
