import { expect, it } from 'vitest'
import type { Address } from '#base/address.ts'
import { doorAddresses } from '#workers/plane.ts'

it('a door that is off has no address', () => {
  const address = '127.0.0.1' as Address
  const at = (port: number) => ({ address, port })
  const listen = { dns: 'off', http: 'off', https: at(443), proxy: at(8080), metrics: 'off', admin: 'off' } as const
  expect(doorAddresses(listen)).toEqual({ http: undefined, https: at(443), proxy: at(8080) })
})
