import { expect, it } from 'vitest'
import { Cancellation } from '#base/async.ts'
import { trustVariables } from '#cli/env.ts'
import { doctorScript } from '#journey/doctor-script.ts'
import { exchange } from '#journey/exchange.ts'
import type { RequestArrival } from '#contracts/request.ts'
import { canary } from '../kit/credentials.ts'
import { snapshotOf } from '../kit/policy.ts'
import { arrivalOf, Recorder, worldOf } from './parts.ts'

const text = `
agents: {a: {from: [{cidr: 127.0.0.1}]}, b: {from: [{cidr: 127.0.0.2}]}}
credentials:
  key: {kind: bearer, stub: stub-of-key, secret: {env: KEY}, hosts: [scoped.test]}
  lost: {kind: bearer, stub: stub-of-lost, secret: {env: LOST}, hosts: ["*.lost.test"]}
  others: {kind: bearer, stub: stub-of-others, secret: {env: KEY}, hosts: [other.test], agents: [b]}
rules: [{id: all, effect: deny, hosts: [iron-proxy.internal]}]
`
const real = canary()

async function ask(some: Parameters<typeof arrivalOf>[0]): Promise<Recorder> {
  const client = new Recorder()
  const { ports } = worldOf(await snapshotOf(text), { KEY: real })
  const arrival: RequestArrival = arrivalOf({ host: 'iron-proxy.internal', path: '/v1/self', ...some })
  await exchange(arrival, undefined, client, new Cancellation(), { ...ports, bundle: (agent) => `bundle of ${agent}` })
  return client
}

it('an agent is told who it is and how its credentials are, whatever the rules say, and no value', async () => {
  const client = await ask({})
  expect(client.status).toBe(200)
  expect(JSON.parse(client.text)).toMatchObject({
    agent: 'a',
    address: '127.0.0.1',
    mode: 'enforce',
    credentials: [
      { id: 'key', hosts: ['scoped.test'], health: 'ok' },
      { id: 'lost', hosts: ['*.lost.test'], health: 'unavailable' },
    ],
  })
  expect(client.text).not.toContain(real)
})

it.each([
  ['another path', { path: '/v1/other' }],
  ['another method', { method: 'POST' }],
  ['another host', { host: 'x.iron-proxy.internal' }],
])('%s is a request like any other', async (_, some) => {
  expect((await ask(some)).status).toBe(403)
})

it('the bundle is handed out there too, and it is known to whom', async () => {
  expect((await ask({ path: '/ca.crt' })).text).toBe('bundle of a')
  expect((await ask({ path: '/ca.crt', scheme: 'http', port: 80 })).text).toBe('bundle of a')
  const head = await ask({ path: '/ca.crt', method: 'HEAD' })
  expect([head.status, head.text]).toEqual([200, ''])
})

it('a script that looks at the container is handed out over plain HTTP, for images without the product', async () => {
  const client = await ask({ path: '/doctor', scheme: 'http', port: 80 })
  expect([client.status, client.text]).toEqual([200, doctorScript])
  expect(doctorScript).toMatch(/^#!\/bin\/sh\n/)
  const [, names = ''] = /for name in ([^;]+);/.exec(doctorScript) ?? []
  expect(names.split(/[\s\\]+/).filter(Boolean)).toEqual(Object.keys(trustVariables('', '')))
})
