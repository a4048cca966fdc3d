import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { auditLine, LineParts, writeAuditLine } from '#observe/audit-line.ts'
import { LineBuffer } from '#observe/line-buffer.ts'
import { record } from './records.ts'

test('a record is one line of JSON that holds all of its fields', () => {
  const full: AuditRecord = record({
    code: 'client_closed',
    reason: 'why',
    swaps: [{ credential: 'github', place: 'header:authorization' }],
    scrubbed: { github: 2 },
    credential: 'github',
    ttfb: 3.5,
    upstream: '192.0.2.1:443',
    parent: 'p',
    runId: 'r',
    policyHash: 'h',
    dns: { qtype: 'A', rcode: 'NOERROR', outcome: 'intercept', proto: 'udp' },
    count: 3,
  })
  expect(JSON.parse(auditLine(full))).toEqual(full)
})

test('what a record does not have is left out, and an unknown agent is null', () => {
  const line = JSON.parse(auditLine(record({ agent: null, rule: undefined })))
  expect(line.agent).toBeNull()
  expect(line).not.toHaveProperty('rule')
  expect(line).not.toHaveProperty('ttfb')
})

test('a field that is no part of a record is never written', () => {
  const canary = randomBytes(16).toString('hex')
  const careless = { ...record(), headers: { authorization: canary }, query: `?key=${canary}` }
  const swap = { credential: 'github', place: 'header:authorization', value: canary } as const
  expect(auditLine({ ...careless, swaps: [swap] })).not.toContain(canary)
})

test.each([
  ['host', 255],
  ['path', 2048],
  ['method', 32],
  ['reason', 1024],
  ['protocol', 128],
  ['rule', 128],
  ['runId', 128],
  ['upstream', 255],
] as const)('%s holds %d characters at most', (field, limit) => {
  const line = JSON.parse(auditLine(record({ [field]: 'x'.repeat(1024 * 1024) })))
  expect(line[field]).toHaveLength(limit)
  expect(line[field].endsWith('…')).toBe(true)
})

test.each([
  '\r\n{"forged":true}',
  '\u001b[31mred\u001b[0m',
  '\u009b31m',
  '\u2028\u2029',
  '\u0000',
  '\u202egpj.exe',
  '\ud800',
  '"\\',
])('hostile text %j stays inside its line', (hostile) => {
  const line = auditLine(record({ path: `/${hostile}`, host: hostile, method: hostile, reason: hostile }))
  expect(line).toMatch(/^\{[\x20-\x7e]*\}$/)
  expect(JSON.parse(line)).toMatchObject({ path: `/${hostile}`, host: hostile, method: hostile, reason: hostile })
})

// Every field that a record may have: a new one does not compile here until it is named.
const text = fc.oneof(fc.string({ unit: 'grapheme-ascii', maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 40 }))
const count = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e6, noNaN: true }))
const fields: { readonly [Field in keyof Required<AuditRecord>]: fc.Arbitrary<Required<AuditRecord>[Field]> } = {
  id: text,
  time: text,
  type: fc.constantFrom('request', 'upgrade', 'tunnel', 'tls', 'dns', 'credential', 'budget', 'run'),
  event: fc.constantFrom(
    'exchange',
    'open',
    'close',
    'needs_login',
    'recovered',
    'warning',
    'exhausted',
    'minted',
    'bound',
    'ended',
  ),
  agent: fc.option(text),
  peer: text,
  door: fc.constantFrom('dns', 'http', 'https', 'proxy', 'self'),
  protocol: text,
  method: text,
  scheme: fc.constantFrom('http', 'https'),
  host: text,
  port: fc.nat(65535),
  path: text,
  git: fc.constantFrom('fetch', 'push', undefined),
  rule: text,
  verdict: fc.constantFrom('allow', 'deny', 'would_deny', 'error'),
  code: fc.constantFrom('client_closed', 'rule_denied'),
  reason: text,
  swaps: fc.array(fc.record({ credential: text, place: fc.string().map((name) => `query:${name}` as const) }), { maxLength: 3 }),
  scrubbed: fc.dictionary(text, fc.nat()),
  credential: text,
  answered: fc.constant(true),
  captured: fc.constant(true),
  budget: text,
  waited: count,
  limits: fc.dictionary(text, count),
  usage: fc.record(
    {
      meter: text,
      model: text,
      input: fc.nat(),
      output: fc.nat(),
      reasoning: fc.nat(),
      usd: count,
      estimated: fc.constant(true),
    },
    { requiredKeys: ['meter', 'model'] },
  ),
  unpriced: fc.record({ meter: text, model: text }),
  status: fc.nat(599),
  bytesUp: fc.nat(),
  bytesDown: fc.nat(),
  duration: count,
  ttfb: count,
  upstream: text,
  parent: text,
  runId: text,
  traceId: text,
  policyHash: text,
  dns: fc.record({ qtype: text, rcode: text, outcome: text, proto: fc.constantFrom('udp', 'tcp') }),
  count: fc.nat(),
}
const always = [
  'id',
  'time',
  'type',
  'event',
  'agent',
  'peer',
  'door',
  'protocol',
  'verdict',
  'swaps',
  'bytesUp',
  'bytesDown',
  'duration',
]

test('a line says byte for byte what JSON.stringify says of the fields in their order', () => {
  const order = Object.keys(fields)
  fc.assert(
    fc.property(fc.record(fields, { requiredKeys: always as never }), (some) => {
      const each = some as AuditRecord
      // JSON.stringify with a list of names would look inside nested objects too; a sorted copy does not.
      const sorted = Object.fromEntries(order.flatMap((name) => (name in each ? [[name, each[name as keyof AuditRecord]]] : [])))
      const json = JSON.stringify(sorted)
      const ascii = json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      expect(auditLine(each)).toBe(ascii)
    }),
  )
})

test('records that share parts of their lines, or nearly do, are each written as if by themselves', () => {
  const pick = <Field extends keyof AuditRecord>(...values: AuditRecord[Field][]) => fc.constantFrom(...values)
  const few = fc.record({
    type: pick<'type'>('request', 'tunnel'),
    event: pick<'event'>('exchange', 'close'),
    agent: pick<'agent'>('one', null),
    peer: pick<'peer'>('192.0.2.1', '192.0.2.2'),
    door: pick<'door'>('proxy', 'https'),
    protocol: pick<'protocol'>('h2', 'tcp'),
    method: pick<'method'>('GET', undefined),
    scheme: pick<'scheme'>('https', 'http'),
    port: pick<'port'>(443, 80),
    host: pick<'host'>('one.test', 'two.test', undefined, `${'x'.repeat(70)}.test`),
    rule: pick<'rule'>('one', 'two', undefined),
    verdict: pick<'verdict'>('allow', 'would_deny'),
    code: pick<'code'>(undefined, 'client_closed'),
    reason: pick<'reason'>(undefined, 'why'),
    swaps: pick<'swaps'>(
      [],
      [{ credential: 'one', place: 'header:authorization' }],
      [{ credential: 'one', place: 'query:key' }],
      [{ credential: 'two', place: 'header:authorization' }],
    ),
    path: pick<'path'>('/a', '/b'),
  })
  const parts = new LineParts()
  fc.assert(
    fc.property(few, (some) => {
      const line = new LineBuffer(16)
      writeAuditLine(record(some), line, parts)
      expect(line.take().toString()).toBe(auditLine(record(some)))
    }),
    { numRuns: 3_000 },
  )
})
