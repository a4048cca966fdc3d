import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import { namesOf, parseResolver } from '#dns/names.ts'
import type { DnsPolicy } from '#policy/types.ts'
import { describe, expect, test } from 'vitest'

const host = (name: string): Host => parseHost(name) as Host

const policy: DnsPolicy = {
  deny: 'sinkhole',
  forward: [
    { zones: ['svc', 'cluster.local'].map(host), to: ['10.43.0.10'] },
    { zones: ['deep.cluster.local'].map(host), to: ['10.43.0.11:5353', 'nonsense'] },
  ],
  records: [
    { name: host('m.test'), type: 'A', value: '10.0.0.1' },
    { name: host('m.test'), type: 'A', value: '10.0.0.2' },
    { name: host('six.test'), type: 'AAAA', value: 'FD00:0::1' },
    { name: host('mapped.test'), type: 'AAAA', value: '::ffff:10.0.0.1' },
    { name: host('alias.test'), type: 'CNAME', value: 'M.test.' },
  ],
}

describe('names of a policy', () => {
  test('a name has all its records', () => {
    expect(namesOf(policy).recordsOf(host('m.test'))).toEqual([
      { kind: 'A', address: '10.0.0.1' },
      { kind: 'A', address: '10.0.0.2' },
    ])
    expect(namesOf(policy).recordsOf(host('x.m.test'))).toBeUndefined()
  })

  test('values are in one spelling, and one that does not fit its type leaves the name empty', () => {
    expect(namesOf(policy).recordsOf(host('six.test'))).toEqual([{ kind: 'AAAA', address: 'fd00::1' }])
    expect(namesOf(policy).recordsOf(host('alias.test'))).toEqual([{ kind: 'CNAME', target: 'm.test' }])
    expect(namesOf(policy).recordsOf(host('mapped.test'))).toEqual([])
  })

  test.each([
    ['cluster.local', '10.43.0.10', 53],
    ['api.cluster.local', '10.43.0.10', 53],
    ['api.github.com.svc', '10.43.0.10', 53],
    ['deep.cluster.local', '10.43.0.11', 5353],
    ['a.b.deep.cluster.local', '10.43.0.11', 5353],
    ['notdeep.cluster.local', '10.43.0.10', 53],
  ])('%s belongs to the longest zone that holds it', (name, address, port) => {
    expect(namesOf(policy).resolversOf(host(name))).toEqual([{ address, port }])
  })

  test.each(['local', 'xcluster.local.test', 'evilcluster.local', 'svc.test'])('%s belongs to no zone', (name) => {
    expect(namesOf(policy).resolversOf(host(name))).toBeUndefined()
  })

  test('are indexed once', () => {
    expect(namesOf(policy)).toBe(namesOf(policy))
  })
})

test.each([
  ['10.0.0.1', { address: '10.0.0.1', port: 53 }],
  ['10.0.0.1:5353', { address: '10.0.0.1', port: 5353 }],
  ['fd00::1', { address: 'fd00::1', port: 53 }],
  ['[fd00::1]', { address: 'fd00::1', port: 53 }],
  ['[fd00::1]:5353', { address: 'fd00::1', port: 5353 }],
  ['10.0.0.1:0', undefined],
  ['10.0.0.1:65536', undefined],
  ['dns.example.com', undefined],
  ['', undefined],
])('the resolver %j is read as %o', (text, expected) => {
  expect(parseResolver(text)).toEqual(expected)
})
