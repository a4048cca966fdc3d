/** Responses: one document, or events of which one of the last holds it. */
import type { Counted, Usage } from '#base/usage.ts'
import { count, countDocuments, text } from '../count.ts'
import type { Tally } from '../count.ts'
import type { Asked, FieldPath, Fields, Shape } from '../types.ts'
import { responsesSpeech } from './speech.ts'
import { readUsage } from './usage.ts'

/** `POST …/responses` and `…/responses/compact`. */
export const responsesShape: Shape = {
  name: 'openai/responses',
  wants: [
    ['model'],
    ['stream'],
    ['max_output_tokens'],
    ['background'],
    ['previous_response_id'],
    ['conversation'],
    ['prompt', 'id'],
  ],
  read: readResponses,
  counter: ({ contentType }) =>
    contentType === 'text/event-stream' ? countDocuments('sse', new EventTally()) : countDocuments('json', documentTally()),
  speech: responsesSpeech,
}

function readResponses(fields: Fields): Asked {
  const continues = text(fields['previous_response_id'])
  const conversation = fields['conversation']
  return {
    model: text(fields['model']),
    mostOutput: count(fields['max_output_tokens']),
    stream: fields['stream'] === true,
    // The conversation so far is the provider's to know.
    hiddenInput:
      continues !== undefined || (conversation !== undefined && conversation !== null) || fields['prompt.id'] !== undefined,
    continues,
    refused:
      fields['background'] === true ? 'a response made in the background reports its usage only when it is fetched' : undefined,
  }
}

function documentTally(): Tally {
  let usage: Usage | undefined
  let failed = false
  return {
    wants: [['id'], ['model'], ['service_tier'], ['usage'], ['status']],
    visible: [],
    take(fields) {
      usage = readUsage(fields['usage'], { model: fields['model'], id: fields['id'], tier: fields['service_tier'] })
      failed = fields['status'] === 'failed'
    },
    sum: () => ({ usage, final: usage !== undefined, failed }),
  }
}

/** `response.completed`, `.incomplete` and `.failed` hold the response as it is in the end. */
class EventTally implements Tally {
  readonly wants: readonly FieldPath[] = [
    ['type'],
    ['response', 'id'],
    ['response', 'model'],
    ['response', 'service_tier'],
    ['response', 'usage'],
  ]
  readonly visible: readonly FieldPath[] = [['delta']]
  #usage: Usage | undefined
  #ended = false
  #failed = false

  take(fields: Fields): void {
    const type = text(fields['type'])
    if (type === 'response.failed' || type === 'error') this.#failed = true
    if (!/^response\.(?:completed|incomplete|failed|done)$/.test(type ?? '')) return
    const beside = { model: fields['response.model'], id: fields['response.id'], tier: fields['response.service_tier'] }
    this.#usage = readUsage(fields['response.usage'], beside) ?? this.#usage
    this.#ended = true
  }

  sum(): Pick<Counted, 'usage' | 'final' | 'failed'> {
    return { usage: this.#usage, final: this.#usage !== undefined && this.#ended, failed: this.#failed }
  }
}
