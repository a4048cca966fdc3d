/**
 * Writes down what one call of a harness's hook saw: one line an event into `RUN_EVENTS_FILE` (default: `run-events.jsonl` of the agent's
 * state) and, with `RUN_LOG`, into the container's log; with `NATS_URL` also to NATS, as `swarm.events.run_…`. The JSON comes on standard
 * input, or as the argument (Codex's `notify`). It never fails its hook: what cannot be written is one line on standard error.
 */
import { randomUUID } from 'node:crypto'
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TimelineEvent } from '#timeline/run-event.ts'
import { seenIn } from './from-hook.ts'

const { env } = process

/** Bytes of a hook's input that are read; a result may be longer. */
const mostInput = 8 * 1024 * 1024

function inputOf(argument: string | undefined): Record<string, unknown> {
  try {
    const text = argument ?? readFileSync(0, 'utf8').slice(0, mostInput)
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function runNow(): string | undefined {
  if (env['RUN_ID']) return env['RUN_ID']
  try {
    const file = join(env['CLAUDE_CONFIG_DIR'] ?? join(env['AGENT_HOME'] ?? env['HOME'] ?? '.', '.claude'), 'run.json')
    const { run_id: id } = JSON.parse(readFileSync(file, 'utf8')) as { run_id?: unknown }
    return typeof id === 'string' ? id : undefined
  } catch {
    return undefined
  }
}

function attempt(what: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    process.stderr.write(`run-events: ${what}: ${(error as Error).message}\n`)
  }
}

const said = inputOf(process.argv[2])
const runId = runNow()
const session = said['session_id'] ?? said['thread-id']
const events = seenIn(said, { schedule: env['RUN_SCHEDULE'] || undefined }).map((seen): TimelineEvent => ({
  id: randomUUID(),
  time: new Date().toISOString(),
  type: 'run',
  agent: (env['AGENT_NAME'] ?? 'agent').slice(0, 128),
  runId: (runId ?? '').slice(0, 128),
  harness: (env['HARNESS'] ?? 'claude-code').slice(0, 32),
  ...(typeof session === 'string' && { session: session.slice(0, 128) }),
  ...seen,
}))

if (events.length > 0 && runId !== undefined) {
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join('')
  const file = env['RUN_EVENTS_FILE'] ?? join(env['AGENT_STATE'] ?? join(env['HOME'] ?? '.', '.agent'), 'run-events.jsonl')
  attempt(file, () => {
    mkdirSync(dirname(file), { recursive: true })
    appendFileSync(file, text, { mode: 0o600 })
  })
  if (env['RUN_LOG']) attempt(env['RUN_LOG'], () => appendFileSync(env['RUN_LOG'] ?? '', text))
  if (env['NATS_URL']) {
    // Loaded only where there is a NATS: a hook waits for us.
    const { publish } = await import('./publish.ts')
    await publish(events, { url: env['NATS_URL'], credentials: env['NATS_CREDENTIALS'] }).catch((error: Error) =>
      process.stderr.write(`run-events: ${env['NATS_URL']}: ${error.message}\n`),
    )
  }
}
