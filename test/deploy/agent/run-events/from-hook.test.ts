import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { headLength } from '#timeline/head.ts'
import { seenIn } from '../../../../deploy/agent/run-events/from-hook.ts'
import { headOf } from '../../../../deploy/agent/run-events/head-of.ts'

const channel = '<channel source="matrix" room_id="!r:example.org" event_id="$e1" sender="@ana:example.org">fix it</channel>'

describe('what a hook says', () => {
  it.each<[string, Record<string, unknown>, readonly object[]]>([
    [
      'a message of a channel',
      { hook_event_name: 'UserPromptSubmit', prompt: channel },
      [
        { event: 'started', by: { kind: 'message', message: '$e1', room: '!r:example.org', sender: '@ana:example.org' } },
        { event: 'prompt', head: channel },
      ],
    ],
    [
      'a person at the keyboard (Gemini CLI)',
      { hook_event_name: 'BeforeAgent', prompt: 'hello' },
      [
        { event: 'started', by: { kind: 'person' } },
        { event: 'prompt', head: 'hello' },
      ],
    ],
    [
      'a command of Claude Code',
      {
        hook_event_name: 'PostToolUse',
        tool_name: 'Bash',
        tool_input: { command: 'npm test' },
        tool_response: { stdout: 'ok\n', stderr: '' },
      },
      [
        { event: 'command', tool: 'Bash', head: 'npm test' },
        { event: 'result', tool: 'Bash', head: 'ok' },
      ],
    ],
    [
      'a command that failed',
      { hook_event_name: 'PostToolUseFailure', tool_name: 'Bash', tool_input: { command: 'false' }, error: 'Exit code 1' },
      [
        { event: 'command', tool: 'Bash', head: 'false', exit: 1 },
        { event: 'error', tool: 'Bash', reason: 'Exit code 1' },
      ],
    ],
    [
      'a command of Codex, as a list',
      {
        hook_event_name: 'PostToolUse',
        tool_name: 'shell',
        tool_input: { command: ['ls', '-l'] },
        tool_response: { output: 'a', metadata: { exit_code: 0 } },
      },
      [
        { event: 'command', tool: 'shell', head: 'ls -l', exit: 0 },
        { event: 'result', tool: 'shell', head: 'a' },
      ],
    ],
    [
      'a command of Gemini CLI',
      {
        hook_event_name: 'AfterTool',
        tool_name: 'run_shell_command',
        tool_input: { command: 'ls' },
        tool_response: { llmContent: 'b' },
      },
      [
        { event: 'command', tool: 'run_shell_command', head: 'ls' },
        { event: 'result', tool: 'run_shell_command', head: 'b' },
      ],
    ],
    [
      'an edit',
      {
        hook_event_name: 'PostToolUse',
        tool_name: 'Edit',
        tool_input: { file_path: '/w/a.ts', new_string: 'x' },
        tool_response: {},
      },
      [{ event: 'edit', tool: 'Edit', path: '/w/a.ts' }],
    ],
    [
      'a patch of several files',
      {
        hook_event_name: 'PostToolUse',
        tool_name: 'apply_patch',
        tool_input: { input: '*** Update File: a.ts\n+x\n*** Add File: b.ts\n' },
      },
      [
        { event: 'edit', tool: 'apply_patch', path: 'a.ts' },
        { event: 'edit', tool: 'apply_patch', path: 'b.ts' },
      ],
    ],
    [
      'a call of an MCP tool',
      { hook_event_name: 'PostToolUse', tool_name: 'mcp__memory__search', tool_input: { query: 'x' }, tool_response: 'found' },
      [
        { event: 'tool', tool: 'mcp__memory__search', head: '{"query":"x"}' },
        { event: 'result', tool: 'mcp__memory__search', head: 'found' },
      ],
    ],
    ['the end of a turn', { hook_event_name: 'Stop' }, [{ event: 'outcome', outcome: 'done' }]],
    [
      'the end of a turn of Gemini CLI',
      { hook_event_name: 'AfterAgent', prompt_response: 'did it' },
      [{ event: 'outcome', outcome: 'done', head: 'did it' }],
    ],
    [
      'a turn that failed',
      { hook_event_name: 'StopFailure', error: 'rate_limit' },
      [{ event: 'outcome', outcome: 'failed', head: 'rate_limit' }],
    ],
    [
      'Codex’s notify',
      { type: 'agent-turn-complete', 'last-assistant-message': 'see https://github.com/o/r/pull/1' },
      [{ event: 'outcome', outcome: 'done', head: 'see https://github.com/o/r/pull/1' }],
    ],
    ['nothing that is known', { hook_event_name: 'toString' }, []],
    ['nothing at all', {}, []],
    [
      'fields of the wrong kind',
      { hook_event_name: 'PostToolUse', tool_name: 7, tool_input: null, tool_response: null },
      [{ event: 'tool', tool: '', head: '{}' }],
    ],
  ])('is %s', (_name, said, seen) => expect(seenIn(said)).toEqual(seen))

  it('names the schedule that woke it', () => {
    expect(seenIn({ hook_event_name: 'UserPromptSubmit', prompt: 'go' }, { schedule: 'nightly' })[0]).toEqual({
      event: 'started',
      by: { kind: 'schedule', schedule: 'nightly' },
    })
  })
})

describe('a head', () => {
  const letters = (length: number) => randomBytes(length).toString('hex').slice(0, length)
  const keys = [`sk-ant-api03-${letters(40)}`, `ghp_${letters(36)}`, `github_pat_${letters(40)}`, `xoxb-${letters(24)}`]

  it.each(keys.map((key) => [key.slice(0, 6), key]))('has no key of the shape %s…, however it stands there', (_shape, key) => {
    for (const text of [
      key,
      `TOKEN=${key}`,
      `{"key":"${key}"}`,
      `https://x:${key}@h.test/`,
      `curl -H 'Authorization: Bearer ${key}'`,
      `${'x '.repeat(110)}${key}`,
      `${'x '.repeat(8_100)}${key}`,
    ]) {
      const head = headOf(text)
      expect(head).not.toContain(key.slice(0, 14))
      expect(head.length).toBeLessThanOrEqual(headLength)
    }
  })

  it('has no private key, whole or cut', () => {
    const body = letters(64)
    for (const end of ['', '-----END PRIVATE KEY-----'])
      expect(headOf(`-----BEGIN PRIVATE KEY-----\n${body}\n${end}`)).not.toContain(body.slice(0, 10))
  })

  it('keeps stubs and words, in one line', () => {
    expect(headOf('a\n\tb \u001B[31m proxy-token-service')).toBe('a b [31m proxy-token-service')
  })
})
