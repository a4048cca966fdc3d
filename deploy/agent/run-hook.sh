#!/usr/bin/env bash
# run-hook.sh prompt|tool|stop: hooks of the agent, for the message that wakes it, for each call of a tool, and for the end of its turn. What
# they see goes into the log, a file and NATS (run-events/). Each message gets a run id, and the
# proxy is told, so that all its records of this agent carry it; logs read it from run.json.
# run-hook.sh watch: tells the proxy in the hooks' place, from a container beside the agent's that holds the proxy's token. An agent that could
# read that token could do whatever an operator can.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"

# Written by `watch`: the id that the proxy knows.
bound_file=$AGENT_STATE/bound
# Touched by `watch` several times a second.
watching_file=$AGENT_STATE/watching
# A message waits for its hooks.
ASK_SECONDS=${ASK_SECONDS:-3}

# bind ID: binds the agent to a run, or to none with an empty id.
bind() {
  local order
  order=$(jq -cn --arg agent "$AGENT_NAME" --arg run "$1" '{$agent, run_id: (if $run == "" then null else $run end)}')
  ask_proxy POST /v1/runs/bind "$order" >/dev/null
}

# announce ID: has the proxy told, by ourselves or by the watcher. A message is answered even if nobody is there to listen.
announce() {
  if [ -n "${IRON_PROXY_ADMIN_URL:-}" ]; then
    bind "$1" || warn "the proxy was not told of run ${1:-(none)}"
  elif [ -n "${RUN_WATCHED:-}" ]; then
    local tries seen
    seen=$(stat -c %Y "$watching_file" 2>/dev/null || echo 0)
    if [ $((EPOCHSECONDS - seen)) -gt 3 ]; then
      warn "nobody watches to tell the proxy of run ${1:-(none)}"
      return
    fi
    for ((tries = 0; tries < 50; tries++)); do
      [ ! -r "$bound_file" ] || [ "$(<"$bound_file")" != "$1" ] || return 0
      sleep 0.1
    done
    warn "nobody told the proxy of run ${1:-(none)} within 5 s"
  fi
}

# What of the hook's input says where the message came from.
run_json() {
  jq --arg id "$1" --arg agent "$AGENT_NAME" --arg since "$(date -u +%FT%TZ)" \
    '{run_id: $id, $agent, $since, session_id: (.session_id // null), transcript: (.transcript_path // null)}' <<<"$input"
}

watch() {
  local id told=
  need IRON_PROXY_ADMIN_URL
  trap 'exit 0' TERM INT
  mkdir -p "$AGENT_STATE"
  while :; do
    touch "$watching_file"
    id=$(run_id)
    if [ "$id" != "$told" ] && bind "$id"; then
      told=$id
      put "$bound_file" 0644 printf '%s\n' "$id"
    fi
    sleep 0.2 &
    wait $!
  done
}

# Writes down what the hook saw; nothing that goes wrong there stops the agent.
note() { HARNESS=$HARNESS CLAUDE_CONFIG_DIR=$CLAUDE_DIR node "$here/run-events/main.ts" <<<"$input" || true; }

# Gemini CLI takes what a hook prints for JSON.
say() {
  if [ "$HARNESS" = gemini-cli ]; then
    jq -cn --arg text "$1" '{hookSpecificOutput: {hookEventName: "BeforeAgent", additionalContext: $text}}'
  else
    printf '%s\n' "$1"
  fi
}

need AGENT_NAME
case ${1:-} in
  prompt | tool | stop)
    input=$(cat)
    jq -e 'type == "object"' >/dev/null 2>&1 <<<"$input" || input='{}'
    ;;
esac
# The agent of one task is on its run from the beginning (run-once.sh), and the proxy knows.
if [ -n "${RUN_ID:-}" ]; then
  case ${1:-} in prompt | tool | stop) note ;; esac
  exit 0
fi
case ${1:-} in
  prompt)
    id=$(</proc/sys/kernel/random/uuid)
    put "$RUN_FILE" 0644 run_json "$id"
    announce "$id"
    note
    say "The run id of this message is $id."
    ;;
  tool) note ;;
  stop)
    note
    rm -f "$RUN_FILE"
    announce ''
    ;;
  watch) watch ;;
  *) fail "$EX_USAGE" "usage: run-hook.sh prompt|tool|stop|watch" ;;
esac
