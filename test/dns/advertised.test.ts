import { expect, it } from 'vitest'
import { adviseOnAddress } from '#dns/advertised.ts'
import { addressOf } from '../journey/parts.ts'

const advertise = addressOf('10.43.0.53')
const service = 'iron-proxy'

it.each([
  ['its Service’s', ['10.43.0.53'], undefined],
  ['one of the addresses of a Service of two families', ['fd00::53', '10.43.0.53'], undefined],
  [
    'another than its Service’s',
    ['10.96.0.53'],
    /agents to 10\.43\.0\.53 \(advertise\), and the Service iron-proxy has 10\.96\.0\.53/,
  ],
])('the advertised address is %s', async (_, addresses, expected) => {
  const advice = await adviseOnAddress({ advertise, service, resolve: () => Promise.resolve(addresses) })
  if (expected) expect(advice).toMatch(expected)
  else expect(advice).toBeUndefined()
})

it('a Service that cannot be resolved is said, and no Service is nothing to say', async () => {
  const resolve = () => Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }))
  expect(await adviseOnAddress({ advertise, service, resolve })).toContain('cannot be resolved (ENOTFOUND)')
  expect(await adviseOnAddress({ advertise, service: undefined, resolve })).toBeUndefined()
})

it('the resolver of this machine is asked where no other is', async () => {
  expect(await adviseOnAddress({ advertise: addressOf('127.0.0.1'), service: 'localhost' })).toBeUndefined()
  expect(await adviseOnAddress({ advertise, service: 'localhost' })).toContain('has')
})
