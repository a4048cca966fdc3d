# shellcheck shell=bash
# How does the agent's turn stand? Asked of what Claude Code itself writes down, since hooks do not run at every end of a turn: none runs
# after an interrupt. Sourced by entrypoint.sh and doctor.sh, after state.sh.

# session_field NAME: a field of the file that Claude Code keeps of each session by its process id. Newer versions (2.1.332 does, 2.1.116
# does not) write there a status, busy, idle or waiting, and since when.
session_field() {
  local file
  file=$CLAUDE_DIR/sessions/$(field pid).json
  [ ! -r "$file" ] || jq -r --arg name "$1" '.[$name] // empty' "$file" 2>/dev/null || true
}

# turn_state: working, waiting (a question is on the screen), idle, or, of a transcript, done, failed (an API error) or interrupted; nothing
# where neither is known.
turn_state() {
  local transcript status
  status=$(session_field status)
  case $status in
    busy) echo working ;;
    # Of milliseconds; the hook of a new message runs just before the status changes.
    idle) if [ "$(stat -c %Y "$RUN_FILE" 2>/dev/null || echo 0)" -gt "$(($(session_field statusUpdatedAt) / 1000))" ]; then echo working; else echo idle; fi ;;
    '') ;;
    *) echo "$status" ;;
  esac
  [ -z "$status" ] || return 0
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
