# shellcheck shell=bash
# Accepts the questions of prompts.tsv, each once for each start of the agent. Sourced by entrypoint.sh.
# Only a young agent is answered for: later, the words of a question are words that somebody wrote to it, and a key pressed for them would
# be somebody else's.

PROMPTS=${PROMPTS:-$AGENT_SCRIPTS/prompts.tsv}
PROMPT_SECONDS=${PROMPT_SECONDS:-180}
declare -A accepted=()
answered=0

# press_prompts SCREEN: one question at a time, since the screen has to change before the next can be read.
press_prompts() {
  local name versions pattern keys key
  if [ "$(field start)" != "$answered" ]; then
    answered=$(field start)
    accepted=()
  fi
  [ "$(field state)" = running ] && [ $((EPOCHSECONDS - $(field since))) -le "$PROMPT_SECONDS" ] || return 0
  while IFS=$'\t' read -r name versions pattern keys; do
    case $name in '#'* | '') continue ;; esac
    [[ -z ${accepted[$name]:-} && $1 =~ $pattern ]] || continue
    meant_for "$versions" || continue
    accepted[$name]=1
    log "accepts the question \"$name\""
    for key in $keys; do
      agent_tmux send-keys -t "$AGENT_PANE" "$key"
      # A menu that is still drawing loses keys.
      sleep 0.5
    done
    return
  done <"$PROMPTS"
}

# meant_for VERSIONS: whether the agent's version is among them: `*`, `FROM-TO`, `FROM-` or `-TO`, ends included. A version that is not known
# is not: a key that accepts a question in one version may decline it in another.
meant_for() {
  [ "$1" != '*' ] || return 0
  local command
  if [ -z "${harness_version:-}" ]; then
    harness_command ''
    harness_version=$(timeout 10 "${command[0]}" --version 2>/dev/null </dev/null | grep -oEm 1 '[0-9]+(\.[0-9]+)+') || return 1
  fi
  printf '%s\n' "${1%-*}" "$harness_version" | sort -CV &&
    { [ -z "${1#*-}" ] || printf '%s\n' "$harness_version" "${1#*-}" | sort -CV; }
}
