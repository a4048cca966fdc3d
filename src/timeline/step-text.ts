/** Steps and runs as lines for eyes. */
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Cause, TimelineEvent } from './run-event.ts'
import { tokensOf } from './runs.ts'
import type { RunSummary } from './runs.ts'
import type { Step } from './step.ts'

/** How a step went: for its colour. */
export type Mood = 'plain' | 'refused' | 'wrong' | 'good'

export interface StepText {
  readonly what: string
  readonly text: string
  readonly mood: Mood
  /** Of the audit record behind it. */
  readonly id: string | undefined
}

/** A step in one line. */
export function stepText(step: Step): StepText {
  switch (step.from) {
    case 'audit':
      return recordText(step.record)
    case 'agent':
      return eventText(step.event)
    case 'memory':
      return { what: 'memory', text: `${step.memory.type}: ${step.memory.title}`, mood: 'good', id: undefined }
    default:
      return step satisfies never
  }
}

function recordText(record: AuditRecord): StepText {
  const { type, event, method, host, path, status, verdict, code, rule, swaps, usage, reason, dns, id } = record
  const words =
    type === 'request' || type === 'upgrade'
      ? [method, `${host ?? ''}${path ?? ''}`, status === undefined ? '' : String(status)]
      : type === 'dns'
        ? [dns?.qtype, host, dns?.outcome]
        : [type === 'run' ? '' : host, event, record.credential, record.budget, reason]
  const cost =
    usage &&
    `${tokensOf(usage).toLocaleString('en')} tokens${usage.usd === undefined ? '' : `, ${usage.usd.toFixed(4)} USD`} of ${usage.model}`
  const refusal =
    verdict === 'allow'
      ? ''
      : `${verdict === 'would_deny' ? 'would be refused' : verdict === 'deny' ? 'refused' : 'failed'}: ${code ?? reason ?? ''}`
  const text = [
    ...words,
    ...swaps.map(({ credential }) => `swap ${credential}`),
    cost,
    refusal,
    refusal === '' || rule === undefined ? '' : `by rule ${rule}`,
  ]
  return {
    what: type,
    text: text.filter((word) => word !== undefined && word !== '').join(' '),
    mood: verdict === 'allow' ? 'plain' : verdict === 'error' ? 'wrong' : 'refused',
    id,
  }
}

function eventText(event: TimelineEvent): StepText {
  const { tool, head = '', path, exit, reason, outcome, tokens } = event
  const of = (mood: Mood, ...words: (string | undefined)[]): StepText => ({
    what: event.event,
    text: words.filter((word) => word !== undefined && word !== '').join(' '),
    mood,
    id: undefined,
  })
  switch (event.event) {
    case 'started':
      return of('good', causeText(event.by))
    case 'tool':
      return of('plain', tool, head)
    case 'edit':
      return of('plain', path, head)
    case 'command':
      return of(exit === undefined || exit === 0 ? 'plain' : 'wrong', head, exit === undefined ? '' : `exit ${exit}`)
    case 'error':
      return of('wrong', tool, reason ?? head)
    case 'outcome':
      return of(outcome === 'done' ? 'good' : 'wrong', outcome, countText(tokens), head)
    case 'prompt':
    case 'result':
      return of('plain', head)
    default:
      return event.event satisfies never
  }
}

function countText(tokens: TimelineEvent['tokens']): string {
  const counted = Object.entries(tokens ?? {})
  return counted.length === 0 ? '' : `(${counted.map(([name, count]) => `${count.toLocaleString('en')} ${name}`).join(', ')})`
}

/** `message $abc of @ana:example.org in !room:example.org`. */
export function causeText(by: Cause | undefined): string {
  if (!by) return ''
  const { kind, message, room, sender, schedule } = by
  return [kind, message, sender === undefined ? '' : `of ${sender}`, room === undefined ? '' : `in ${room}`, schedule]
    .filter((word) => word !== undefined && word !== '')
    .join(' ')
}

/** `3 requests, 1 refused, 1,234 tokens, 0.0123 USD, …`: what is nothing is left out. */
export function countsText(run: RunSummary): string {
  const parts: readonly (readonly [number, string])[] = [
    [run.requests, 'request'],
    [run.refused, 'refused'],
    [run.tokens, 'token'],
    [run.tools, 'tool call'],
    [run.edits, 'edit'],
    [run.commands, 'command'],
    [run.errors, 'error'],
    [run.memory, 'memory record'],
    [run.pushes, 'push'],
  ]
  const counted = parts
    .filter(([count]) => count > 0)
    .map(
      ([count, noun]) =>
        `${count.toLocaleString('en')} ${noun === 'refused' || count === 1 ? noun : noun === 'push' ? 'pushes' : `${noun}s`}`,
    )
  return [...counted, ...(run.usd > 0 ? [`${run.usd.toFixed(4)} USD`] : [])].join(', ')
}
