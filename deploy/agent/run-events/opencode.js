/** OpenCode's plugin: hands what happens to `run-hook.sh`, in the words of Claude Code's hooks. Source: opencode.ai/docs/plugins. */
import { spawn } from 'node:child_process'

const script = `${process.env.AGENT_SCRIPTS}/run-hook.sh`

/** Nothing that goes wrong here stops the agent. */
function tell(what, said) {
  return new Promise((resolve) => {
    const child = spawn(script, [what], { stdio: ['pipe', 'ignore', 'inherit'] })
    child.on('error', resolve).on('close', resolve)
    child.stdin.on('error', () => {}).end(JSON.stringify(said))
  })
}

export const RunEvents = async () => ({
  'chat.message': (input, { parts }) =>
    tell('prompt', {
      hook_event_name: 'UserPromptSubmit',
      session_id: input.sessionID,
      prompt: parts.map(({ text }) => text ?? '').join('\n'),
    }),
  'tool.execute.after': (input, output) =>
    tell('tool', {
      hook_event_name: 'PostToolUse',
      session_id: input.sessionID,
      tool_name: input.tool,
      tool_input: input.args ?? output.metadata ?? {},
      tool_response: { output: output.output, metadata: output.metadata },
    }),
  event: async ({ event }) => {
    if (event.type === 'session.idle') await tell('stop', { hook_event_name: 'Stop', session_id: event.properties?.sessionID })
  },
})
