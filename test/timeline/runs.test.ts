import { describe, expect, it } from 'vitest'
import { RunHistory, timelineOf } from '#timeline/runs.ts'
import { headLength } from '#timeline/head.ts'
import { runEventSchema } from '#timeline/run-event.ts'
import type { TimelineEvent } from '#timeline/run-event.ts'
import { causeText, countsText, stepText } from '#timeline/step-text.ts'
import { stepOf } from '#timeline/step.ts'
import { auditLine } from '#observe/audit-line.ts'
import { record } from '../observe/records.ts'

const id = '6f1c3c1e-0d1c-4b9e-9b0a-6f0d4b1f9a11'
let count = 0
const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()

function audit(second: number, some: Parameters<typeof record>[0] = {}): string {
  return auditLine(record({ id: `audit-${(count += 1)}`, time: at(second), runId: id, ...some }))
}

function event(second: number, some: Partial<TimelineEvent> & Pick<TimelineEvent, 'event'>): string {
  const line: TimelineEvent = { id: `event-${(count += 1)}`, time: at(second), type: 'run', agent: 'devbot', runId: id, ...some }
  expect(runEventSchema.safeParse(line).success).toBe(true)
  return JSON.stringify(line)
}

const story = () => [
  audit(0, { type: 'run', event: 'minted', reason: 'nightly' }),
  event(0, { event: 'started', by: { kind: 'message', message: '$m1', room: '!room:example.org', sender: '@ana:example.org' } }),
  event(0, { event: 'prompt', head: 'fix the parser' }),
  event(1, { event: 'tool', tool: 'Grep', head: 'parse' }),
  event(2, { event: 'edit', tool: 'Edit', path: 'src/parser.ts' }),
  event(3, { event: 'command', tool: 'Bash', head: 'npm test', exit: 1 }),
  audit(4, { usage: { meter: 'anthropic', model: 'claude', input: 1_000, output: 200, reasoning: 50, usd: 0.0125 } }),
  audit(5, { verdict: 'deny', code: 'host_denied', host: 'evil.test', status: 403 }),
  audit(6, { method: 'POST', path: '/o/r.git/git-receive-pack', host: 'github.com' }),
  event(7, { event: 'result', head: 'see https://github.com/o/r/pull/7 and again https://github.com/o/r/pull/7.' }),
  JSON.stringify({ id: 'm', time: at(8), type: 'decision', agent: 'devbot', title: 'Parse twice', run_id: id }),
  event(9, { event: 'outcome', outcome: 'done', tokens: { input: 1_000, output: 200 } }),
  audit(9, { type: 'run', event: 'ended', reason: 'revoked' }),
]

describe('a run', () => {
  it('is joined from audit, hooks and memory, whatever their order, each line once', () => {
    const lines = story()
    for (const order of [lines, lines.toReversed(), [...lines, ...lines]]) {
      const runs = new RunHistory()
      order.forEach((line) => runs.add(line))
      expect(runs.summaries()).toEqual([
        {
          id,
          agent: 'devbot',
          began: at(0),
          ended: at(9),
          by: { kind: 'message', message: '$m1', room: '!room:example.org', sender: '@ana:example.org' },
          label: 'nightly',
          state: expect.stringMatching(/done|ended/),
          requests: 3,
          refused: 1,
          tokens: 1_200,
          usd: 0.0125,
          tools: 3,
          edits: 1,
          commands: 1,
          errors: 0,
          memory: 1,
          pushes: 1,
          links: ['https://github.com/o/r/pull/7'],
        },
      ])
    }
  })

  it('has its steps in the order of time, and a cause before its effect', () => {
    const { steps } = timelineOf(id, story().toReversed())
    expect(steps.map((step) => `${stepText(step).what}: ${stepText(step).text}`)).toEqual([
      'run: minted nightly',
      'started: message $m1 of @ana:example.org in !room:example.org',
      'prompt: fix the parser',
      'tool: Grep parse',
      'edit: src/parser.ts',
      'command: npm test exit 1',
      'request: GET api.github.com/user 200 1,200 tokens, 0.0125 USD of claude',
      'request: GET evil.test/user 403 refused: host_denied by rule github-api',
      'request: POST github.com/o/r.git/git-receive-pack 200',
      'result: see https://github.com/o/r/pull/7 and again https://github.com/o/r/pull/7.',
      'memory: decision: Parse twice',
      'outcome: done (1,000 input, 200 output)',
      'run: ended revoked',
    ])
  })

  it('is named with its counts, and nothing that is nothing', () => {
    const runs = new RunHistory()
    story().forEach((line) => runs.add(line))
    const [run] = runs.summaries()
    expect(run && countsText(run)).toBe(
      '3 requests, 1 refused, 1,200 tokens, 3 tool calls, 1 edit, 1 command, 1 memory record, 1 push, 0.0125 USD',
    )
    expect(causeText(undefined)).toBe('')
  })

  it.each([
    ['no JSON', '{"runId":"x'],
    ['null', 'null'],
    ['an array', '["runId\\":\\"x"]'],
    ['a line of no run', JSON.stringify({ id: 'x', time: at(0), type: 'request', event: 'exchange', verdict: 'allow' })],
    ['a line without a time', JSON.stringify({ runId: 'x', type: 'run', event: 'tool' })],
    ['a time that is none', JSON.stringify({ runId: 'x', time: 'soon', type: 'run', event: 'tool' })],
    ['a run id that is no text', '{"runId":"","time":1,"x":{"runId":"y"}}'],
    ['a title that is none', JSON.stringify({ run_id: 'x', time: at(0), type: 'decision', title: 7 })],
  ])('is not made of %s', (_name, line) => expect(stepOf(line)).toBeUndefined())

  it('is found in what NATS carries too', () => {
    const [, started = ''] = story()
    const wrapped = JSON.stringify({
      specversion: '1.0',
      id: 'x',
      source: 'agent',
      type: 'swarm.events.run_started',
      data: JSON.parse(started) as object,
    })
    expect(stepOf(wrapped)).toEqual(stepOf(started))
  })

  it('has no text longer than its bound', () => {
    expect(
      runEventSchema.safeParse({
        id: 'x',
        time: at(0),
        type: 'run',
        event: 'tool',
        agent: 'a',
        runId: 'r',
        head: 'x'.repeat(headLength + 1),
      }).success,
    ).toBe(false)
  })
})
