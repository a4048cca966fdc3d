#!/usr/bin/env bash
# An agent for one task, as a Job runs it: it gets credentials of its own at the proxy, does what PROMPT says, and they are revoked.
#   run-once.sh        all of it in one place, where the agent cannot read the proxy's token
#   run-once.sh hold   in a sidecar that holds the token: mints, writes RUN_ORDER_FILE, revokes on TERM
#   run-once.sh run    in the agent's own container: waits for that file, runs
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=harness.sh
. "$here/harness.sh"

seconds=${RUN_SECONDS:-900}
order_file=${RUN_ORDER_FILE:-$AGENT_STATE/run-once.json}
# Which variable each stub of the run goes into, by its credential.
stub_variables=${RUN_STUBS:-github=GH_TOKEN claude=CLAUDE_CODE_OAUTH_TOKEN}

order() {
  jq -cn --arg agent "$AGENT_NAME" --argjson ttl "$seconds" --arg title "${RUN_LABEL:-}" --arg hosts "${RUN_HOSTS:-}" --arg tokens "${RUN_TOKENS:-}" \
    '{$agent, ttl_seconds: $ttl}
    + (if $title == "" then {} else {label: $title} end)
    + (if $hosts == "" then {} else {hosts: ($hosts | split(" ") | map(select(. != "")))} end)
    + (if $tokens == "" then {} else {budget: {tokens: ($tokens | tonumber)}} end)'
}

mint() {
  need AGENT_NAME IRON_PROXY_ADMIN_URL
  local answer body
  body=$(order) || fail "$EX_CONFIG" "RUN_SECONDS and RUN_TOKENS are numbers"
  answer=$(ask_proxy POST /v1/runs "$body") ||
    fail "$EX_UNAVAILABLE" "no run: $(jq -r '.error.message // .' <<<"${answer:-null}" 2>/dev/null || true)"
  id=$(jq -r .run_id <<<"$answer")
  trap revoke EXIT
  put "$order_file" 0600 printf '%s\n' "$answer"
  log "run $id of $AGENT_NAME, good until $(jq -r .expires_at <<<"$answer")"
}

revoke() {
  rm -f "$order_file"
  if ask_proxy DELETE "/v1/runs/$id" >/dev/null; then log "run $id is revoked"; else warn "run $id was not revoked; it ends by its time"; fi
}

# What the agent's programs need to speak as this run.
enter_run() {
  local url pair name value proxy
  url=${IRON_PROXY_URL:-$(jq -r .proxy.url "$order_file")}
  proxy=${url/:\/\//://$(jq -r '.proxy | "\(.username):\(.password)"' "$order_file")@}
  export HTTPS_PROXY=$proxy HTTP_PROXY=$proxy https_proxy=$proxy http_proxy=$proxy NODE_USE_ENV_PROXY=1
  for pair in $stub_variables; do
    name=${pair#*=}
    value=$(jq -r --arg id "${pair%%=*}" '.stubs[$id] // empty' "$order_file")
    [ -z "$value" ] || export "$name=$value"
  done
  put "$RUN_FILE" 0644 jq '{run_id, agent}' "$order_file"
  RUN_ID=$(run_id)
  export RUN_ID
  unset IRON_PROXY_ADMIN_URL IRON_PROXY_ADMIN_TOKEN_FILE
}

# Runs the prompt and answers the agent's exit code; 124 when its time was up. A signal to us goes on to the agent.
run_prompt() {
  need AGENT_NAME PROMPT
  load_env
  local child code
  (
    local command
    enter_run
    harness_command "${PROMPT:?}"
    exec timeout --kill-after=10 "$seconds" "${command[@]}"
  ) </dev/null &
  child=$!
  trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
  # A signal ends a wait too.
  while :; do
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2>/dev/null || return "$code"
  done
}

await_order() {
  local end=$((EPOCHSECONDS + 60))
  until [ -s "$order_file" ]; do
    [ "$EPOCHSECONDS" -lt "$end" ] || fail "$EX_UNAVAILABLE" "no run in $order_file within 60 s"
    sleep 0.2
  done
}

case ${1:-} in
  '')
    need PROMPT
    mint
    run_prompt
    ;;
  hold)
    mint
    trap 'exit 0' TERM INT
    sleep "$seconds" &
    wait $!
    ;;
  run)
    await_order
    run_prompt
    ;;
  *) fail "$EX_USAGE" "usage: run-once.sh [hold|run]" ;;
esac
