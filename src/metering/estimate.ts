/** What a request may cost at most, reckoned before it is sent. */
import { LruMap } from '#base/async.ts'
import type { TokenCounts } from '#base/usage.ts'

/** Of a model whose window nobody knows. */
const usualWindow = 200_000
/** Most output of a model when the request sets no limit: what the large ones give in one reply, thinking included. */
const usualOutput = 32_768

/** Output of a reply that was not seen, of an agent whose replies are not known: few in one piece are longer. */
export const usualReply = 4_096

/** Tokens for a byte of request body, before anything was measured: English prose has 0.25, JSON and code up to 0.4. */
const firstRatio = 0.5
/** Of one image, as providers publish it for their largest. */
const mostImage = 5000
/** Prose has more than this. Less was learned from bodies full of images, and the next one may be text. */
const leastRatio = 0.2
/** A byte is at most one token with byte-level encodings. */
const mostRatio = 1
/** The fewest tokens for a byte: of text, and of bodies that are mostly images or sound in base64. */
export const usualRatio = { text: 0.2, dense: 0.01 } as const
/** How fast the largest measured ratio is forgotten, for each request. */
const decay = 0.98
/** Above the largest measured ratio, since the next body is another one. */
const margin = 1.15

/** What is known of a request before it is sent. */
export interface Forecast {
  readonly bodyBytes: number
  readonly mostOutput: number | undefined
  readonly hiddenInput: boolean
  /** Images of which the body may hold no more than an address. */
  readonly images?: number | undefined
  readonly window: number | undefined
}

/** Tokens of the prompt at most, and of the output at most. */
export function forecast(known: Forecast, ratio: number): TokenCounts {
  const { bodyBytes, mostOutput, hiddenInput, images = 0, window = usualWindow } = known
  const visible = Math.min(Math.ceil(bodyBytes * ratio) + images * mostImage, window)
  return { input: hiddenInput ? window : visible, cache_read: 0, cache_write: 0, output: mostOutput ?? usualOutput }
}

/**
 * Tokens for a byte of request body, learned from what replies report, for each agent and model: an agent's prompts are alike,
 * and another agent's say nothing about them.
 */
export class Calibration {
  readonly #ratios = new LruMap<string, number>(1000)

  ratio(agent: string, model: string): number {
    return this.#ratios.get(`${agent} ${model}`) ?? firstRatio
  }

  /** `input`: all tokens of the prompt, cached or not. */
  learn(agent: string, model: string, bodyBytes: number, input: number): void {
    if (bodyBytes < 256 || input <= 0) return
    const measured = (input / bodyBytes) * margin
    const known = this.#ratios.get(`${agent} ${model}`)
    this.#ratios.set(
      `${agent} ${model}`,
      Math.min(mostRatio, Math.max(leastRatio, measured, known === undefined ? 0 : known * decay)),
    )
  }
}
