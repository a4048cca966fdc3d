import type { Address } from '#base/address.ts'
import { answer, oursOf } from '#dns/answer.ts'
import type { DnsAnswer, Asker } from '#dns/answer.ts'
import { typeLabel } from '#dns/codes.ts'
import { readQuery } from '#dns/wire.ts'
import { describe, expect, test } from 'vitest'
import { numbers, question, snapshot } from './questions.ts'
import type { TypeName } from './questions.ts'

const ours = oursOf(['10.43.0.53' as Address])
const dns = {
  forward: [{ zones: ['svc', 'cluster.local', '43.10.in-addr.arpa'], to: ['10.43.0.10'] }],
  records: [
    { name: 'matrix.test', type: 'A', value: '10.43.7.7' },
    { name: 'matrix.test', type: 'A', value: '10.43.7.8' },
    { name: 'note.test', type: 'TXT', value: 'hello' },
    { name: 'alias.test', type: 'CNAME', value: 'matrix.test' },
    { name: 'front.test', type: 'CNAME', value: 'api.good.test' },
    { name: 'away.test', type: 'CNAME', value: 'evil.test' },
    { name: 'inside.test', type: 'CNAME', value: 'db.svc' },
    { name: 'one.test', type: 'CNAME', value: 'two.test' },
    { name: 'two.test', type: 'CNAME', value: 'one.test' },
    { name: 'record.svc', type: 'A', value: '10.43.7.9' },
    { name: 'recorded.good.test', type: 'A', value: '10.43.7.10' },
  ],
}
const sinkhole = snapshot(dns)
const refuse = snapshot({ ...dns, deny: 'refuse' })

function asker(agent: string, of = sinkhole): Asker {
  const found = of.policy.agents.get(agent)
  if (!found) throw new Error(agent)
  return { kind: 'agent', agent: found, snapshot: of }
}

function ask(name: string, type: TypeName | number, who: Asker = asker('devbot'), addresses = ours): DnsAnswer {
  const reading = readQuery(question(name, type))
  if (reading.kind !== 'query') throw new Error(reading.kind)
  return answer(reading, who, addresses)
}

/** `OUTCOME VERDICT RCODE records; authority` in one line. */
function told(given: DnsAnswer): string {
  if (given.kind === 'forward') return `forward to ${given.to.map(({ address }) => address).join()}`
  const { reply, finding } = given
  const records = reply.answers.map((record) => {
    const value = 'address' in record ? record.address : 'target' in record ? record.target : 'text' in record ? record.text : ''
    return [...('owner' in record && record.owner ? [record.owner] : []), record.kind, value].join(' ').trim()
  })
  const authority = reply.authority.map(({ kind }) => `+${kind}`)
  return [finding.outcome, finding.verdict, reply.rcode, [...records, ...authority].join(', ')].join(' ').trim()
}

describe('what a question gets', () => {
  test.each<[string, TypeName | number, string]>([
    ['good.test', 'A', 'intercept allow NOERROR A 10.43.0.53'],
    ['API.Good.TEST', 'A', 'intercept allow NOERROR A 10.43.0.53'],
    ['a.b.good.test', 'A', 'intercept allow NOERROR A 10.43.0.53'],
    ['pinned.test', 'A', 'intercept allow NOERROR A 10.43.0.53'],
    ['good.test', 'AAAA', 'nodata allow NOERROR +SOA'],
    ['good.test', 'HTTPS', 'nodata allow NOERROR +SOA'],
    ['good.test', 'SVCB', 'nodata allow NOERROR +SOA'],
    ['good.test', 'TXT', 'nodata allow NOERROR +SOA'],
    ['good.test', 'MX', 'nodata allow NOERROR +SOA'],
    ['good.test', 'NULL', 'nodata allow NOERROR +SOA'],
    ['good.test', 'SRV', 'nodata allow NOERROR +SOA'],
    ['good.test', 'CNAME', 'nodata allow NOERROR +SOA'],
    ['good.test', 65280, 'nodata allow NOERROR +SOA'],
    ['good.test', 'ANY', 'nodata allow NOERROR HINFO'],

    ['evil.test', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['evil.test', 'AAAA', 'blocked deny NOERROR +SOA'],
    ['evil.test', 'HTTPS', 'blocked deny NOERROR +SOA'],
    ['evil.test', 'SVCB', 'blocked deny NOERROR +SOA'],
    ['evil.test', 'TXT', 'blocked deny NOERROR +SOA'],
    ['evil.test', 'NULL', 'blocked deny NOERROR +SOA'],
    ['evil.test', 'ANY', 'blocked deny NOERROR +SOA'],
    ['vault.good.test', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['infra.test', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['xgood.test', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['good.test.evil', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['test', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['', 'NS', 'blocked deny NOERROR +SOA'],
    ['10.0.0.1', 'A', 'blocked deny NXDOMAIN +SOA'],
    ['a*b.good.test', 'A', 'blocked deny NXDOMAIN +SOA'],

    ['web.agents.svc.cluster.local.node.example', 'A', 'blocked deny NXDOMAIN +SOA'],
    ['web.agents.svc.cluster.local.node.example', 'AAAA', 'blocked deny NXDOMAIN +SOA'],
    ['db.svc.ec2.internal', 'A', 'blocked deny NXDOMAIN +SOA'],
    ['db.svc.corp.example.com', 'SRV', 'blocked deny NXDOMAIN +SOA'],
    ['matrix.test.node.example', 'A', 'blocked deny NXDOMAIN +SOA'],
    ['note.test.lan', 'A', 'blocked deny NXDOMAIN +SOA'],
    ['svc.node.example', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['good.test.node.example', 'A', 'blocked deny NOERROR A 10.43.0.53'],
    ['1.0.0.10.in-addr.arpa', 12, 'blocked deny NXDOMAIN +SOA'],
    ['1.0.0.10.in-addr.arpa', 'A', 'blocked deny NXDOMAIN +SOA'],
    ['8.8.8.8.in-addr.arpa', 12, 'blocked deny NXDOMAIN +SOA'],
    [`${'0.'.repeat(31)}f.ip6.arpa`, 12, 'blocked deny NXDOMAIN +SOA'],
    ['b.e.f.ip6.arpa', 'NS', 'blocked deny NXDOMAIN +SOA'],
    ['10.in-addr.arpa', 'SOA', 'blocked deny NOERROR +SOA'],

    ['matrix.test', 'A', 'record allow NOERROR A 10.43.7.7, A 10.43.7.8'],
    ['Matrix.Test', 'A', 'record allow NOERROR A 10.43.7.7, A 10.43.7.8'],
    ['matrix.test', 'AAAA', 'nodata allow NOERROR +SOA'],
    ['matrix.test', 'TXT', 'nodata allow NOERROR +SOA'],
    ['matrix.test', 'ANY', 'nodata allow NOERROR HINFO'],
    ['note.test', 'TXT', 'record allow NOERROR TXT hello'],
    ['note.test', 'A', 'nodata allow NOERROR +SOA'],
    ['recorded.good.test', 'A', 'record allow NOERROR A 10.43.7.10'],
    ['recorded.good.test', 'AAAA', 'nodata allow NOERROR +SOA'],
    ['alias.test', 'A', 'record allow NOERROR CNAME matrix.test, matrix.test A 10.43.7.7, matrix.test A 10.43.7.8'],
    ['alias.test', 'AAAA', 'record allow NOERROR CNAME matrix.test'],
    ['alias.test', 'CNAME', 'record allow NOERROR CNAME matrix.test'],
    ['front.test', 'A', 'record allow NOERROR CNAME api.good.test, api.good.test A 10.43.0.53'],
    ['away.test', 'A', 'record allow NOERROR CNAME evil.test'],
    ['inside.test', 'A', 'record allow NOERROR CNAME db.svc'],
    ['one.test', 'A', 'record allow NOERROR CNAME two.test, two.test CNAME one.test'],

    ['db.svc', 'A', 'forward to 10.43.0.10'],
    ['svc', 'SOA', 'forward to 10.43.0.10'],
    ['api.github.com.svc.cluster.local', 'A', 'forward to 10.43.0.10'],
    ['good.test.cluster.local', 'AAAA', 'forward to 10.43.0.10'],
    ['7.7.43.10.in-addr.arpa', 12, 'forward to 10.43.0.10'],
    ['db.svc', 'HTTPS', 'nodata allow NOERROR +SOA'],
    ['db.svc', 'SVCB', 'nodata allow NOERROR +SOA'],
    ['db.svc', 'NULL', 'nodata allow NOERROR +SOA'],
    ['db.svc', 65280, 'nodata allow NOERROR +SOA'],
    ['db.svc', 'ANY', 'nodata allow NOERROR HINFO'],
    ['record.svc', 'A', 'record allow NOERROR A 10.43.7.9'],
  ])('%s %s gets: %s', (name, type, expected) => {
    expect(told(ask(name, type))).toBe(expected)
  })

  test.each<[string, TypeName, string]>([
    ['evil.test', 'A', 'NXDOMAIN'],
    ['evil.test', 'AAAA', 'NXDOMAIN'],
    ['evil.test', 'HTTPS', 'NXDOMAIN'],
    ['evil.test', 'TXT', 'NXDOMAIN'],
    ['evil.test', 'ANY', 'NXDOMAIN'],
    ['vault.good.test', 'A', 'NXDOMAIN'],
    ['good.test.node.example', 'A', 'NXDOMAIN'],
    ['web.node.example', 'A', 'NXDOMAIN'],
    ['web.agents.svc.cluster.local.node.example', 'A', 'NXDOMAIN'],
    ['web', 'A', 'NXDOMAIN'],
    ['4.3.2.1.in-addr.arpa', 'A', 'NXDOMAIN'],
    // Names are below these, so they exist.
    ['test', 'A', 'NOERROR'],
    ['local', 'AAAA', 'NOERROR'],
    ['arpa', 'TXT', 'NOERROR'],
    ['10.in-addr.arpa', 'A', 'NOERROR'],
  ])('%s %s is %s with a start of authority under `deny: refuse`', (name, type, rcode) => {
    expect(told(ask(name, type, asker('devbot', refuse)))).toBe(`blocked deny ${rcode} +SOA`)
  })

  test('a name is decided for the agent that asks', () => {
    expect(told(ask('infra.test', 'A', asker('infrabot')))).toBe('intercept allow NOERROR A 10.43.0.53')
  })

  test('an agent in report mode gets our address for any name, and the record says what would be refused', () => {
    const given = ask('evil.test', 'A', asker('newbot', refuse))
    expect(told(given)).toBe('intercept would_deny NOERROR A 10.43.0.53')
    expect(given).toMatchObject({ finding: { code: 'host_denied' } })
    expect(told(ask('good.test', 'A', asker('newbot')))).toBe('intercept allow NOERROR A 10.43.0.53')
  })

  test('an IPv6 address of ours answers AAAA, and only that when there is no other', () => {
    const both = oursOf(['10.43.0.53', 'fd00::53'] as Address[])
    expect(told(ask('good.test', 'AAAA', asker('devbot'), both))).toBe('intercept allow NOERROR AAAA fd00::53')
    expect(told(ask('evil.test', 'AAAA', asker('devbot'), both))).toBe('blocked deny NOERROR AAAA fd00::53')
    const six = oursOf(['fd00::53' as Address])
    expect(told(ask('good.test', 'A', asker('devbot'), six))).toBe('nodata allow NOERROR +SOA')
  })

  test.each(['good.test', 'matrix.test', 'db.svc', 'evil.test'])('who is no agent learns nothing about %s', (name) => {
    const given = ask(name, 'A', { kind: 'deny', code: 'agent_unknown', reason: 'no agent has this address' })
    expect(told(given)).toBe('blocked deny REFUSED')
    expect(given).toMatchObject({
      reply: { error: { code: 15, text: 'no agent of the policy has this address' } },
      finding: { code: 'agent_unknown' },
    })
  })

  test('without a policy everything is SERVFAIL, not ready', () => {
    const given = ask('good.test', 'A', { kind: 'deny', code: 'no_policy', reason: 'no policy is loaded' })
    expect(told(given)).toBe('blocked deny SERVFAIL')
    expect(given).toMatchObject({ reply: { error: { code: 14 } } })
  })
})

test('a refusal tells the reason of the rule, or that no rule allows it', () => {
  expect(ask('vault.good.test', 'A')).toMatchObject({
    reply: { error: { code: 15, text: 'ask in #infra' } },
    finding: { rule: 'no-secrets', code: 'rule_denied' },
  })
  expect(ask('evil.test', 'A')).toMatchObject({ reply: { error: { code: 15, text: 'no rule lets this agent reach this host' } } })
})

test('labels of types come from a list of twelve', () => {
  const labels = new Set(Array.from({ length: 65536 }, (_, type) => typeLabel(type)))
  expect(labels.size).toBe(13)
  expect(typeLabel(numbers.HTTPS)).toBe('HTTPS')
  expect(typeLabel(numbers.NULL)).toBe('other')
})
