import { describe, expect, it } from 'vitest'
import { compileFiles } from '#config/load.ts'
import { AuditTally } from '#policy-tools/audit-lines.ts'
import type { Seen } from '#policy-tools/audit-lines.ts'
import { draftPolicy } from '#policy-tools/draft.ts'
import { Replay, replayText } from '#policy-tools/replay.ts'
import { runTests } from '#policy-tools/run-tests.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { Traffic } from '#policy-tools/traffic.ts'
import { loadText, snapshotOf } from '../kit/policy.ts'
import { lineOf } from './traffic.ts'

const policy = `
agents:
  a: {from: [{cidr: 127.0.0.1}]}
  b: {from: [{cidr: 127.0.0.2}], mode: report}
credentials: {key: {kind: bearer, stub: stub-of-the-key, secret: {env: KEY}, hosts: [x.test]}}
rules:
  - {id: no, effect: deny, hosts: [x.test], methods: [DELETE]}
  - {id: x, hosts: [x.test], credentials: [key]}
  - {id: pinned, hosts: [pinned.test], inspect: false}
  - {id: git, hosts: [git.test], git: {fetch: ["*/*"]}}
`

async function replayed(records: readonly Partial<Seen>[], text = policy): Promise<Replay> {
  const again = new Replay(await snapshotOf(text))
  const tally = new AuditTally((kind) => again.add(kind))
  for (const each of records) tally.push(Buffer.from(`${lineOf(each)}\n`))
  tally.end()
  return again
}

const allowed = { verdict: 'allow', code: undefined, rule: 'x' } as const
const denied = (code: NonNullable<Seen['code']>, rule?: string) => ({ verdict: 'deny', code, rule }) as const
const swaps = [{ credential: 'key', place: 'header:authorization' }] as const

describe('a replay', () => {
  it.each<[string, Partial<Seen>]>([
    ['what is still allowed', allowed],
    ['what failed and would be let through again', { ...allowed, verdict: 'error', code: 'upstream_timeout' }],
    ['what broke off', { ...allowed, code: 'client_closed' }],
    ['what is still swapped', { ...allowed, swaps }],
    ['what is still refused', { ...denied('rule_denied', 'no'), method: 'DELETE' }],
    ['what was refused for a header', denied('foreign_credential', 'x')],
    ['what was refused for its budget', denied('budget_exhausted', 'x')],
    ['what would still be refused', { agent: 'b', host: 'y.test' }],
    [
      'a connection that is still spliced',
      { ...allowed, rule: 'pinned', type: 'tunnel', event: 'open', host: 'pinned.test', method: undefined, path: undefined },
    ],
    ['a clone', { ...allowed, rule: 'git', host: 'git.test', path: '/o/n/info/refs', git: 'fetch' }],
  ])('changes nothing of %s', async (_what, record) => {
    const { decided, changed } = await replayed([record])
    expect([decided, changed]).toEqual([1, 0])
  })

  it.each<[string, Partial<Seen>]>([
    ['a name', { type: 'dns', method: undefined, path: undefined }],
    ['nobody', { ...allowed, agent: null }],
    ['the end of a connection', { ...allowed, type: 'upgrade', event: 'close' }],
    ['what is no request', { ...denied('bad_host'), host: '10.0.0.1' }],
  ])('does not decide %s', async (_what, record) => {
    expect((await replayed([record])).decided).toBe(0)
  })

  it.each<[Partial<Seen>, string]>([
    [{ ...allowed, method: 'DELETE' }, 'allow by rule x → deny by rule no (rule_denied)'],
    [{ ...allowed, host: 'y.test' }, 'allow by rule x → deny by no rule (host_denied)'],
    [{ ...allowed, scheme: 'http', port: 80 }, 'allow by rule x → deny by no rule (plain_denied)'],
    [{ ...allowed, rule: 'other' }, 'allow by rule other → allow by rule x'],
    [
      { ...allowed, swaps: [{ credential: 'gone', place: 'header:authorization' }] },
      'allow by rule x → deny by rule x (stub_misplaced)',
    ],
    [denied('host_denied'), 'deny by no rule (host_denied) → allow by rule x'],
    [
      { verdict: 'would_deny', code: 'host_denied', host: 'y.test' },
      'would_deny by no rule (host_denied) → deny by no rule (host_denied)',
    ],
    [{ verdict: 'would_deny', code: 'foreign_credential', host: 'y.test' }, 'would_deny by no rule (foreign_credential) → deny'],
    [{ ...allowed, agent: 'gone' }, 'allow by rule x → deny by no rule (agent_unknown)'],
    [
      { ...allowed, rule: 'pinned', type: 'tunnel', event: 'open', host: 'z.test', method: undefined, path: undefined },
      'allow by rule pinned → deny by no rule (host_denied)',
    ],
    [
      { ...allowed, rule: 'git', host: 'git.test', path: '/o/n/info/refs', git: 'push' },
      'allow by rule git → deny by no rule (request_denied)',
    ],
  ])('of %j changes %s', async (record, expected) => {
    expect(replayText(await replayed([record])).split('\n')[0]).toContain(expected)
  })

  it('counts alike changes together, the most frequent first, with an example', async () => {
    const again = await replayed([
      { ...denied('host_denied'), id: 'A' },
      ...['B', 'C'].map((id) => ({ ...allowed, id, method: 'DELETE', path: `/${id}` })),
      { ...allowed, method: 'DELETE', path: '/B' },
    ])
    expect(replayText(again).split('\n')).toEqual([
      '3 × a to x.test: allow by rule x → deny by rule no (rule_denied)',
      '    such as DELETE https://x.test/B, B at 2026-01-01T00:00:00.000Z',
      '1 × a to x.test: deny by no rule (host_denied) → allow by rule x',
      '    such as GET https://x.test/, A at 2026-01-01T00:00:00.000Z',
      '4 requests decided again: 4 would end otherwise',
    ])
  })
})

describe('100,000 requests', () => {
  it(
    'learned, tested and replayed: what is not left out is allowed, and nothing changes but report mode',
    { timeout: 60_000 },
    async () => {
      const agents = ['a', 'b', 'c']
      const methods = ['GET', 'GET', 'POST', 'PUT', 'DELETE']
      const words = ['repos', 'issues', 'v1', 'users', 'x', 'octo', 'one', 'two']
      // A small generator of its own, so that a failure can be seen again.
      let state = 12_345
      const next = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below
      const records = Array.from({ length: 100_000 }, (): Partial<Seen> => {
        const depth = 1 + next(3)
        const path = Array.from({ length: depth }, () => (next(4) === 0 ? String(next(1_000)) : words[next(words.length)]))
        return {
          agent: agents[next(3)] ?? '',
          method: methods[next(5)] ?? '',
          host: `h${next(8)}.test`,
          path: `/${path.join('/')}`,
        }
      })
      const traffic = new Traffic(new Set())
      const tally = new AuditTally((kind) => traffic.add(kind))
      for (const each of records) tally.push(Buffer.from(`${lineOf({ ...each, peer: `127.0.0.${each.agent}` })}\n`))
      tally.end()
      const { text } = await draftPolicy(
        traffic,
        await loadText(
          'agents: {a: {from: [{cidr: 127.0.0.1}]}, b: {from: [{cidr: 127.0.0.2}]}, c: {from: [{cidr: 127.0.0.3}]}}',
        ),
        {
          merge: 8,
          wholeHosts: false,
        },
      )
      const places =
        'version: 1\nagents: {a: {from: [{cidr: 127.0.0.1}]}, b: {from: [{cidr: 127.0.0.2}]}, c: {from: [{cidr: 127.0.0.3}]}}\n'
      const { snapshot } = await compileFiles('.', [
        { file: 'a.yaml', bytes: Buffer.from(places) },
        { file: 'b.yaml', bytes: Buffer.from(text) },
      ])
      if (!snapshot) throw new Error('what was learned does not load')

      const left = new Set(traffic.leftOut.map(({ agent, what }) => `${agent} ${what}`))
      const asked = traffic.seeks.filter(({ agent, ask }) => !left.has(`${agent} ${ask.method} https://${ask.host}${ask.path}`))
      const rows = asked.map(
        ({ agent, ask }) => `  - {agent: ${agent}, method: ${ask.method}, url: "https://${ask.host}${ask.path}", expect: allow}`,
      )
      const closed = '  - {agent: [a, b, c], name: [h8.test, x.h0.test, test.example]}\n'
      const tests = readTests('a.test.yaml', Buffer.from(`version: 1\ncases:\n${rows.join('\n')}\n${closed}`))
      expect(tests.issues).toEqual([])
      expect(runTests(snapshot, tests).results.filter(({ faults }) => faults.length > 0)).toEqual([])

      const again = new Replay(snapshot)
      const second = new AuditTally((kind) => again.add(kind))
      for (const each of records) second.push(Buffer.from(`${lineOf(each)}\n`))
      second.end()
      expect(again.decided).toBe(100_000)
      const refused = again.changes.filter(({ after }) => after.verdict !== 'allow')
      const deletes = records.filter(({ method }) => method === 'DELETE').length
      expect(refused.every(({ example }) => example.request.startsWith('DELETE '))).toBe(true)
      expect(refused.reduce((sum, { count }) => sum + count, 0)).toBe(deletes)
    },
  )
})
