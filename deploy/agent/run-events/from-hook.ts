/**
 * What the hooks of each harness say, as events of a run. Claude Code, Codex and Gemini CLI hand a hook JSON with `hook_event_name`; Codex's
 * `notify` hands it JSON with `type`; the plugin for OpenCode speaks as Claude Code does.
 * Sources: docs.claude.com/en/docs/claude-code/hooks, developers.openai.com/codex/hooks, geminicli.com/docs/hooks/reference.
 */
import type { Cause, TimelineEvent } from '#timeline/run-event.ts'
import { headOf } from './head-of.ts'

/** An event without what the run adds to it. */
export type Seen = Pick<TimelineEvent, 'event' | 'by' | 'tool' | 'head' | 'path' | 'exit' | 'reason' | 'outcome' | 'tokens'>

type Said = Readonly<Record<string, unknown>>

const meanings: Readonly<Record<string, (said: Said) => readonly Seen[]>> = {
  UserPromptSubmit: ({ prompt }) => promptSeen(textOf(prompt)),
  BeforeAgent: ({ prompt }) => promptSeen(textOf(prompt)),
  PostToolUse: toolSeen,
  AfterTool: toolSeen,
  PostToolUseFailure: failureSeen,
  Stop: (said) => endSeen(said, 'done'),
  AfterAgent: (said) => endSeen(said, 'done'),
  StopFailure: (said) => endSeen(said, 'failed'),
  'agent-turn-complete': (said) => endSeen(said, 'done'),
}

const shells = new Set(['bash', 'shell', 'local_shell', 'run_shell_command', 'exec_command'])
const editors = new Set(['edit', 'write', 'multiedit', 'notebookedit', 'write_file', 'replace', 'apply_patch', 'patch'])

/** The events of one call of a hook. What is not known gives none. */
export function seenIn(said: Said, order: { readonly schedule?: string | undefined } = {}): readonly Seen[] {
  const name = textOf(said['hook_event_name'] ?? said['type'])
  const seen = Object.hasOwn(meanings, name) ? (meanings[name]?.(said) ?? []) : []
  const { schedule } = order
  return schedule === undefined
    ? seen
    : seen.map((each) => (each.event === 'started' ? { ...each, by: { kind: 'schedule', schedule: headOf(schedule) } } : each))
}

function promptSeen(prompt: string): readonly Seen[] {
  return [
    { event: 'started', by: causeOf(prompt) },
    { event: 'prompt', head: headOf(prompt) },
  ]
}

/** Channels put a message in `<channel source="matrix" room="!r" sender="@a:b" …>`; each has names of its own for the same. */
function causeOf(prompt: string): Cause {
  const [, attributes] = /<channel\s([^>]{0,2000})>/.exec(prompt) ?? []
  if (attributes === undefined) return { kind: 'person' }
  const given = new Map([...attributes.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]))
  const first = (...names: readonly string[]) => {
    const value = names.map((name) => given.get(name)).find((each) => each !== undefined && each !== '')
    return value === undefined ? undefined : headOf(value)
  }
  return dense({
    kind: 'message' as const,
    message: first('event_id', 'message_id', 'ts'),
    room: first('room', 'room_id', 'chat_id', 'channel'),
    sender: first('sender', 'user', 'user_id', 'from'),
  })
}

function toolSeen(said: Said): readonly Seen[] {
  const { tool_input: input, tool_response: response } = said
  const tool = textOf(said['tool_name']).slice(0, 128)
  const answer = answerOf(response)
  const result: readonly Seen[] = answer === '' ? [] : [{ event: 'result', tool, head: headOf(answer) }]
  const kind = tool.toLowerCase()
  if (shells.has(kind))
    return [dense({ event: 'command' as const, tool, head: headOf(commandOf(input)), exit: exitOf(response) }), ...result]
  if (editors.has(kind)) return pathsOf(input).map((path) => ({ event: 'edit', tool, path }))
  return [{ event: 'tool', tool, head: headOf(plain(input)) }, ...result]
}

function failureSeen(said: Said): readonly Seen[] {
  const tool = textOf(said['tool_name']).slice(0, 128)
  const error = textOf(said['error'])
  const exit = /exit (?:code|status):? (\d{1,3})/i.exec(error)?.[1]
  if (!shells.has(tool.toLowerCase())) return [{ event: 'error', tool, reason: headOf(error) }]
  return [
    dense({
      event: 'command' as const,
      tool,
      head: headOf(commandOf(said['tool_input'])),
      exit: exit === undefined ? undefined : Number(exit),
    }),
    { event: 'error', tool, reason: headOf(error) },
  ]
}

function endSeen(said: Said, outcome: 'done' | 'failed'): readonly Seen[] {
  const last = textOf(
    said['last_assistant_message'] ?? said['last-assistant-message'] ?? said['prompt_response'] ?? said['error'],
  )
  return [dense({ event: 'outcome' as const, outcome, head: last === '' ? undefined : headOf(last) })]
}

/** Codex has a command as a list of words, the others as a text. */
function commandOf(input: unknown): string {
  const { command, cmd } = (input ?? {}) as { command?: unknown; cmd?: unknown }
  const given = command ?? cmd ?? ''
  return Array.isArray(given) ? given.map(textOf).join(' ') : textOf(given)
}

function exitOf(response: unknown): number | undefined {
  const {
    exit_code: snake,
    exitCode: camel,
    metadata,
  } = (response ?? {}) as { exit_code?: unknown; exitCode?: unknown; metadata?: unknown }
  const inner = (metadata ?? {}) as { exit?: unknown; exit_code?: unknown }
  const code = snake ?? camel ?? inner.exit_code ?? inner.exit
  return Number.isInteger(code) ? (code as number) : undefined
}

/** The files that an edit names; a patch names several. */
function pathsOf(input: unknown): readonly string[] {
  const given = (input ?? {}) as Said
  const path = given['file_path'] ?? given['filePath'] ?? given['notebook_path'] ?? given['absolute_path'] ?? given['path']
  const patch = textOf(given['input'] ?? given['patch'] ?? given['patchText'] ?? given['command'])
  const patched = [...patch.matchAll(/^\*\*\* (?:Add|Update|Delete) File: (.+)$/gm)].map(([, name = '']) => name)
  return (path === undefined ? patched : [textOf(path)]).slice(0, 50).map((each) => headOf(each))
}

function answerOf(response: unknown): string {
  if (typeof response === 'string') return response
  const { stdout, output, llmContent, content } = (response ?? {}) as Said
  const text = stdout ?? output ?? llmContent ?? content
  return typeof text === 'string' ? text : text === undefined ? '' : plain(text)
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value ?? {}) ?? '')
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Without the fields that nothing is known of. */
function dense<Thing extends object>(thing: Thing): Thing {
  return Object.fromEntries(Object.entries(thing).filter(([, value]) => value !== undefined)) as Thing
}
