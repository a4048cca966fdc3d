# shellcheck shell=bash
# What keeps a live agent from being reached: a question that no one answered, a channel that was not loaded, a remote control that did not
# connect. Sourced by entrypoint.sh, which writes them to a file for heartbeat.sh and doctor.sh.

SIGNS_FILE=$AGENT_STATE/signs
# Seconds that a question may stand on the screen, and that a remote control may take to connect.
signs_of=
QUESTION_SECONDS=${QUESTION_SECONDS:-60}
CONNECT_SECONDS=${CONNECT_SECONDS:-120}

# The lines under a menu of Claude Code, Codex or Gemini CLI.
readonly menu='Enter to (confirm|select)|Press enter to (confirm|continue)|Use Enter to select'
readonly channel_words='(Channels are not [^│]*|Inbound messages will be silently dropped|plugin not installed|not on [^│]*channels (allowlist|list)|no MCP server configured with that name)'
readonly remote_words='(Remote Control (failed|disconnected|is disabled|is not|isn.t|requires)[^│]*|/rc failed)'

# signs SCREEN QUIET: a line for each sign, of a screen that has not changed for QUIET seconds.
signs() {
  local screen=$1 quiet=$2 age
  [ "$(field state)" = running ] || return 0
  age=$((EPOCHSECONDS - $(field since)))
  if [ "$quiet" -ge "$QUESTION_SECONDS" ] && { [[ $screen =~ $menu ]] || [ "$(session_field status)" = waiting ]; }; then
    echo "a question waits on the screen: $(question_of "$screen")"
  fi
  # Newer versions write the remote session's id beside their status.
  if [ "$age" -ge "$CONNECT_SECONDS" ] && [ -n "$(session_field status)" ] && [ -z "$(session_field bridgeSessionId)" ]; then
    echo "remote control is not connected"
  fi
  # Later, the same words may be words that someone wrote to the agent.
  [ "$age" -le "$PROMPT_SECONDS" ] || return 0
  if [ -n "${CHANNEL_PLUGIN:-}" ] && [[ $screen =~ $channel_words ]]; then
    echo "the channel $CHANNEL_PLUGIN is not loaded: ${BASH_REMATCH[0]%%  *}"
  fi
  if [[ $screen =~ $remote_words ]]; then echo "remote control is not connected: ${BASH_REMATCH[0]%%  *}"; fi
}

# Words that a young agent showed hold until its next start.
kept_signs() { grep -E '^(the channel|remote control is not connected:)' "$SIGNS_FILE" 2>/dev/null || true; }

# The last line of the screen that asks, or else its first with words.
question_of() {
  local line asked
  line=$(sed -n '/[[:alnum:]]/{s/^[^[:alnum:]]*//;s/[^[:alnum:]?.]*$//;p;}' <<<"$1")
  asked=$(grep '?$' <<<"$line" | tail -n 1) || asked=${line%%$'\n'*}
  printf '%s\n' "${asked:0:120}"
}

# write_signs SCREEN QUIET: the file holds what is seen now, and the log says each sign once.
write_signs() {
  local now before line
  now=$({ [ "$(field start)" != "$signs_of" ] || kept_signs; signs "$1" "$2"; } | sort -u)
  signs_of=$(field start)
  before=$(cat "$SIGNS_FILE" 2>/dev/null || true)
  [ "$now" != "$before" ] || return 0
  while read -r line; do
    [ -z "$line" ] || grep -qxF -- "$line" <<<"$before" || warn "$line"
  done <<<"$now"
  if [ -n "$now" ]; then put "$SIGNS_FILE" 0644 printf '%s\n' "$now"; else rm -f "$SIGNS_FILE"; fi
}
