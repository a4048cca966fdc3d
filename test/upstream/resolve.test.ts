import { describe, expect, it } from 'vitest'
import { resolver } from '#upstream/resolve.ts'
import { hostOf } from '../kit/policy.ts'
import { startResolver } from '../kit/resolver.ts'

describe('a name', () => {
  it('has its addresses of both families', async () => {
    await using dns = await startResolver({ 'good.test': ['192.0.2.1', '2001:db8::1'], 'v6.test': ['2001:db8::2'] })
    const resolve = resolver([`127.0.0.1:${dns.port}`])
    expect(await resolve(hostOf('good.test'))).toEqual(['192.0.2.1', '2001:db8::1'])
    await expect(resolve(hostOf('v6.test'))).resolves.toEqual(['2001:db8::2'])
  })

  it.each([
    ['does not exist', { rcode: 3 }],
    ['cannot be asked for', { rcode: 2 }],
    ['is refused', { rcode: 5 }],
    ['has no address', []],
  ] as const)('that %s is not resolved', async (_name, answer) => {
    await using dns = await startResolver({ 'bad.test': answer })
    await expect(resolver([`127.0.0.1:${dns.port}`])(hostOf('bad.test'))).rejects.toMatchObject({ code: 'upstream_unresolved' })
  })

  it('is asked for once at a time, and anew afterwards', async () => {
    await using dns = await startResolver({ 'good.test': ['192.0.2.1'] })
    const resolve = resolver([`127.0.0.1:${dns.port}`])
    await Promise.all(Array.from({ length: 20 }, () => resolve(hostOf('good.test'))))
    expect(dns.packets).toHaveLength(2)
    dns.answers.set('good.test', ['192.0.2.2'])
    expect(await resolve(hostOf('good.test'))).toEqual(['192.0.2.2'])
  })

  it('comes whole over TCP when it is cut short over UDP', async () => {
    await using dns = await startResolver({ 'big.test': { truncated: ['192.0.2.1', '192.0.2.2'] } })
    expect(await resolver([`127.0.0.1:${dns.port}`])(hostOf('big.test'))).toEqual(['192.0.2.1', '192.0.2.2'])
  })

  it('may be asked of the system', async () => {
    expect(await resolver('system')(hostOf('localhost'))).toEqual(expect.arrayContaining(['127.0.0.1']))
  })
})
