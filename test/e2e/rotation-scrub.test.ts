import { expect, it } from 'vitest'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

const stub = 'proxy-token-service'
const policy = `version: 1
agents: {devbot: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  service: {kind: bearer, stub: ${stub}, secret: {file: secrets/service}, hosts: [one.test]}
rules:
  - {id: service, hosts: [one.test], credentials: [service]}
`

it('A stream that was open before a value was renewed shows neither the old nor the new one.', async () => {
  const words: string[] = []
  const { promise: told, resolve: tell } = Promise.withResolvers<void>()
  await using s = await scenario({
    policy,
    secrets: ['service'],
    upstreams: {
      one: {
        hosts: ['one.test'],
        start: ({ certificate }): Promise<Upstream> =>
          startUpstream({
            certificate,
            protocol: 'h1',
            handler({ request, response }) {
              request.resume()
              words.push(request.headers.authorization ?? '')
              if (request.url !== '/long') {
                response.end('ok')
                return true
              }
              response.write('begun ')
              // In two pieces, as what is whole in one chunk is found more easily.
              void told.then(() => {
                const text = words.join(' and ')
                response.write(text.slice(0, -9))
                setTimeout(() => response.end(text.slice(-9)), 50)
              })
              return true
            },
          }),
      },
    },
  })
  const ask = (path: string) => s.curl('connect', `https://one.test${path}`, ['-N', '-H', `Authorization: Bearer ${stub}`])
  const long = ask('/long')
  await expect.poll(() => words.length).toBe(1)
  const old = s.files.secrets['service'] ?? ''
  const fresh = await s.files.renewSecret('service')
  await expect.poll(async () => (await ask('/'), words.at(-1)), { timeout: 5000 }).toBe(`Bearer ${fresh}`)
  tell()
  const text = (await long).body.toString()
  expect(text).toMatch(/^begun Bearer proxy-token-service and /)
  expect([text.includes(old), text.includes(fresh)]).toEqual([false, false])
  expect(text.endsWith(`Bearer ${stub}`)).toBe(true)
})
