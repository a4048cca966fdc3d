/**
 * observe/ answers: what happened, and how is it going? The operator's log here, one audit line per exchange in
 * `audit.ts`, metrics folded from the same records in `metrics.ts`. Neighbours: journey/ writes records through its
 * `Audit` port, admin/ serves the metrics.
 */
import { pino, stdTimeFunctions, type DestinationStream, type Logger as Log } from 'pino'
import { asciiJson, bounded } from './text.ts'

export type { Log }
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

const textLimit = 4096
const causeLimit = 4

/**
 * The operator's log: JSON lines on standard error with ISO time and level by name. A reader that stalls does not stall
 * the proxy; past 1 MiB of unread lines, further ones are dropped.
 */
export function createLog(level: LogLevel, destination: DestinationStream = standardError()): Log {
  return pino(
    {
      level,
      base: { 'service.name': 'iron-proxy' },
      timestamp: stdTimeFunctions.isoTime,
      // The formatter has described errors already; pino's own serializer would print whatever hangs on them.
      serializers: { err: (described: unknown) => described },
      formatters: { level: (label) => ({ level: label }), log: boundedFields },
      hooks: {
        logMethod(args, method) {
          const [first, message = first instanceof Error ? first.message : undefined, ...rest] = args as unknown[]
          method.apply(this, [first, message, ...rest].map(boundedText) as typeof args)
        },
        streamWrite: (line) => `${asciiJson(line.trimEnd())}\n`,
      },
    },
    destination,
  )
}

function standardError(): DestinationStream {
  // Asynchronous: a synchronous destination would wait in the event loop for whoever reads our standard error.
  return pino.destination({ dest: 2, sync: false, maxLength: 1024 * 1024 })
}

function boundedFields(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? describe(value) : boundedText(value)]),
  )
}

function boundedText(value: unknown): unknown {
  return typeof value === 'string' ? bounded(value, textLimit) : value
}

/** Of an error only its own words: libraries hang whole requests, headers and all, onto what they throw. */
function describe(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return bounded(String(error), textLimit)
  const { name, message, stack, cause } = error
  const { code } = error as NodeJS.ErrnoException
  return {
    type: name,
    code,
    message: bounded(message, textLimit),
    stack: stack === undefined ? undefined : bounded(stack, textLimit),
    cause: cause === undefined || depth >= causeLimit ? undefined : describe(cause, depth + 1),
  }
}
