# shellcheck shell=bash
# How does the agent's turn stand? Asked of the transcript that Claude Code keeps, since hooks do not run at every end of a turn: none runs
# after an interrupt. Sourced by entrypoint.sh.

# turn_state: working, done, failed (an API error) or interrupted; nothing where no transcript is known.
turn_state() {
  local transcript
  transcript=$(jq -r '.transcript // empty' "$RUN_FILE" 2>/dev/null) || return 0
  [ -r "$transcript" ] || return 0
  # The hook of a new message runs before the message is in the transcript.
  if [ "$RUN_FILE" -nt "$transcript" ]; then
    echo working
    return
  fi
  # The last line may be half written. Lines of subagents (sidechains) say nothing about the turn.
  tail -n 100 "$transcript" | jq -Rnr '
    def words: .message.content | if type == "string" then . else [.[]? | .text? // empty] | join(" ") end;
    [inputs | fromjson? | objects
      | select((.type == "user" or .type == "assistant") and (.isSidechain | not) and (.isMeta | not))]
    | last
    | if . == null then empty
      elif .isApiErrorMessage then "failed"
      elif .type == "user" then if words | startswith("[Request interrupted by user") then "interrupted" else "working" end
      elif .message.stop_reason | . == "end_turn" or . == "stop_sequence" or . == "max_tokens" or . == "refusal" then "done"
      else "working" end' 2>/dev/null || true
}
