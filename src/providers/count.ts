/** Counting a reply: documents in a frame, and a tally that takes each of them. */
import type { Counted, TokenCounts } from '#base/usage.ts'
import { JsonFields } from './scan/json-fields.ts'
import { RepeatedEvent } from './scan/repeated-event.ts'
import { SseScanner } from './scan/sse.ts'
import type { Counter, FieldPath, Fields } from './types.ts'

/** How the documents of a reply follow each other. */
export type UsageFraming = 'json' | 'sse' | 'lines' | 'array'

/** What one API's documents say, put together. */
export interface UsageCount {
  /** Fields that `take` wants. */
  readonly wants: readonly FieldPath[]
  /** Names of the fields that report a usage. */
  readonly reports: readonly string[]
  /** Texts that the agent sees, for an estimate while nothing is reported. */
  readonly visible: readonly FieldPath[]
  /** One document. `visible`: bytes of text in it. */
  take(fields: Fields, visible: number): void
  /** What all of them say; `complete`: no more is to come. */
  sum(complete: boolean): Pick<Counted, 'usage' | 'final' | 'failed'>
}

/** Tokens that so many bytes of visible text are, on the high side: a cut must not come late. */
export function visibleTokens(bytes: number): number {
  return Math.ceil(bytes / 3.5)
}

/** A counter over the documents of a reply. */
export function countDocuments(framing: UsageFraming, tally: UsageCount): Counter {
  return new DocumentCounter(framing, tally)
}

class DocumentCounter implements Counter {
  reports = 0
  readonly #tally: UsageCount
  readonly #scanner: JsonFields
  readonly #frame: Frame
  /** Bytes of text that the agent saw. */
  #text = 0

  constructor(framing: UsageFraming, tally: UsageCount) {
    this.#tally = tally
    const element = (fields: Fields) => this.#take(fields)
    const scanner = new JsonFields(tally.wants, {
      measure: tally.visible,
      ...(framing === 'array' && { onElement: element }),
    })
    this.#scanner = scanner
    const close = () => {
      this.#take(scanner.end())
      scanner.reset()
    }
    this.#frame = framing === 'sse' ? this.#events(scanner, close) : frame(framing, scanner, close)
  }

  get visible(): number {
    return visibleTokens(this.#text)
  }

  feed(chunk: Uint8Array): void {
    this.#frame.push(chunk)
  }

  seen(): Counted {
    return this.#counted(false)
  }

  end(complete: boolean): Counted {
    this.#frame.end()
    return this.#counted(complete)
  }

  /** Events that differ from the one before in their text alone are measured and not read. */
  #events(scanner: JsonFields, close: () => void): Frame {
    const repeated = new RepeatedEvent()
    const events = new SseScanner({
      data: (bytes, start, end) => scanner.push(bytes, start, end),
      event: (_name, bytes, start, end) => {
        const { measures, measuredFrom, measuredTo } = scanner
        const { reports } = this
        close()
        const one = measures === 1 && start >= 0 && measuredFrom > start && this.reports === reports
        if (one) repeated.learn(bytes, start, measuredFrom, measuredTo, end)
        else repeated.forget()
      },
      skip: (bytes, start) => {
        const next = repeated.match(bytes, start)
        if (next >= 0) this.#text += repeated.size
        return next
      },
    })
    return { push: (chunk) => events.push(chunk), end: () => events.end() }
  }

  #take(fields: Fields): void {
    const { measured } = this.#scanner
    this.#text += measured
    if (hasOne(fields, this.#tally.reports)) this.reports += 1
    this.#tally.take(fields, measured)
  }

  #counted(complete: boolean): Counted {
    const { usage, final, failed } = this.#tally.sum(complete)
    return { usage, final, failed, visibleOutput: this.visible, lost: this.#scanner.lost }
  }
}

/** True if one of these fields is there, and not null. */
export function hasOne(fields: Fields, names: readonly string[]): boolean {
  for (const name of names) if (fields[name] !== undefined && fields[name] !== null) return true
  return false
}

/** True if a document says with one of these fields that the provider failed. */
export function saysError(fields: Fields, names: readonly string[]): boolean {
  return names.some((name) => {
    const value = fields[name]
    return Array.isArray(value) ? value.some(isError) : isError(value)
  })
}

/** Some write the field of a failure into each document, and leave it empty. */
function isError(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== ''
}

interface Frame {
  readonly push: (chunk: Uint8Array) => void
  readonly end: () => void
}

function frame(framing: Exclude<UsageFraming, 'sse'>, scanner: JsonFields, close: () => void): Frame {
  switch (framing) {
    case 'json':
      return { push: (chunk) => scanner.push(chunk), end: close }
    case 'array':
      return { push: (chunk) => scanner.push(chunk), end: () => void scanner.end() }
    case 'lines':
      return lines(scanner, close)
    default:
      return framing satisfies never
  }
}

/** Newline-delimited JSON: a document a line. */
function lines(scanner: JsonFields, close: () => void): Frame {
  let open = false
  return {
    push(chunk) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      for (let at = 0; at < bytes.length;) {
        const feed = bytes.indexOf(0x0a, at)
        const end = feed < 0 ? bytes.length : feed
        if (end > at) {
          scanner.push(bytes, at, end)
          open = true
        }
        if (feed >= 0 && open) {
          close()
          open = false
        }
        at = end + 1
      }
    },
    end() {
      if (open) close()
    },
  }
}

/** A count as a provider writes it; `undefined`: it does not. Fractions and negatives are no counts. */
export function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

/** Nano-dollars (1e-9 USD) of what a provider says it cost in dollars; `undefined`: it does not. */
export function nanoOf(dollars: unknown): number | undefined {
  // A float a hair above a whole number of nano-dollars is that number.
  return typeof dollars === 'number' && dollars >= 0 && Number.isFinite(dollars)
    ? Math.max(0, Math.ceil(dollars * 1e9 - 1e-3))
    : undefined
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** A member of what may be an object. */
export function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)[key]
    : undefined
}

/** Tokens of a prompt that is reported with its cached part in it. */
export function splitPrompt(prompt: number, read: number, written: number, output: number): TokenCounts {
  const cacheRead = Math.min(read, prompt)
  const cacheWrite = Math.min(written, prompt - cacheRead)
  return { input: prompt - cacheRead - cacheWrite, cache_read: cacheRead, cache_write: cacheWrite, output }
}
