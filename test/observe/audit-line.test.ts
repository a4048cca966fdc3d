import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { AuditRecord } from '#journey/types.ts'
import { auditLine } from '#observe/audit-line.ts'
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
