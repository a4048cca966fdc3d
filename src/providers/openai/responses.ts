/** Responses: one document, or events of which one of the last holds it. */
import type { Counted, Usage } from '#base/usage.ts'
import { count, countDocuments, saysError, text } from '../count.ts'
import type { UsageCount } from '../count.ts'
import { inResponses, readElsewhere, wantsOf } from '../elsewhere.ts'
import type { Asked, FieldPath, Fields, Shape } from '../types.ts'
import { responsesSpeech } from './speech.ts'
import { readUsage } from './usage.ts'

/** `POST …/responses` and `…/responses/compact`. */
export const responsesShape: Shape = {
  name: 'openai/responses',
  wants: [['model'], ['stream'], ['max_output_tokens'], ['background'], ['service_tier'], ...wantsOf(inResponses)],
  read: readResponses,
  counter: ({ contentType }) =>
    contentType === 'text/event-stream' ? countDocuments('sse', new EventTally()) : countDocuments('json', documentTally()),
  speech: responsesSpeech,
}

/** At OpenAI, a client that closes the connection cancels its response (platform.openai.com/docs/guides/background, "Limits"). */
export const cancellableResponsesShape: Shape = { ...responsesShape, afterAbort: 'stops' }

function readResponses(fields: Fields): Asked {
  return {
    model: text(fields['model']),
    mostOutput: count(fields['max_output_tokens']),
    stream: fields['stream'] === true,
    ...readElsewhere(fields, inResponses),
    tier: text(fields['service_tier']),
    continues: text(fields['previous_response_id']),
    refused:
      fields['background'] === true ? 'a response made in the background reports its usage only when it is fetched' : undefined,
  }
}

const inDocument: readonly FieldPath[] = [
  ['id'],
  ['model'],
  ['service_tier'],
  ['usage'],
  ['status'],
  ['error'],
  ['output', '*', 'type'],
]
const nowhere: readonly FieldPath[] = []

function documentTally(): UsageCount {
  let usage: Usage | undefined
  let failed = false
  return {
    wants: inDocument,
    reports: ['usage'],
    visible: nowhere,
    take(fields) {
      const beside = { model: fields['model'], id: fields['id'], tier: fields['service_tier'], items: fields['output.*.type'] }
      usage = readUsage(fields['usage'], beside)
      failed = fields['status'] === 'failed' || saysError(fields, ['error'])
    },
    sum: () => ({ usage, final: usage !== undefined, failed }),
  }
}

const inEvents: readonly FieldPath[] = [
  ['type'],
  ['response', 'id'],
  ['response', 'model'],
  ['response', 'service_tier'],
  ['response', 'usage'],
  ['response', 'output', '*', 'type'],
]
const usages = ['response.usage']
const visible: readonly FieldPath[] = [['delta']]

/** `response.completed`, `.incomplete` and `.failed` hold the response as it is in the end. */
class EventTally implements UsageCount {
  readonly wants = inEvents
  readonly reports = usages
  readonly visible = visible
  #usage: Usage | undefined
  #ended = false
  #failed = false

  take(fields: Fields): void {
    const type = text(fields['type'])
    if (type === 'response.failed' || type === 'error') this.#failed = true
    if (!/^response\.(?:completed|incomplete|failed|done)$/.test(type ?? '')) return
    const beside = {
      model: fields['response.model'],
      id: fields['response.id'],
      tier: fields['response.service_tier'],
      items: fields['response.output.*.type'],
    }
    this.#usage = readUsage(fields['response.usage'], beside) ?? this.#usage
    this.#ended = true
  }

  sum(): Pick<Counted, 'usage' | 'final' | 'failed'> {
    return { usage: this.#usage, final: this.#usage !== undefined && this.#ended, failed: this.#failed }
  }
}
