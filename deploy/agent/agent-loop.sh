#!/usr/bin/env bash
# Keeps one agent running in its terminal: stubs back in place, start, say how it ended, wait, again. Nothing but TERM ends it, since a
# loop that is gone leaves a terminal in which nobody works. USR1 ends a wait early.
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=harness.sh
. "$here/harness.sh"
# shellcheck source=stubs.sh
. "$here/stubs.sh"
# shellcheck source=state.sh
. "$here/state.sh"
load_env
need AGENT_NAME

# Seconds. A wait is base to twice base, so that agents that fell together do not come back together; base doubles up to the most.
first=${BACKOFF_FIRST:-15}
most=${BACKOFF_MOST:-120}
# Who has run for this long was well: the next fall begins with a short wait again.
healthy=${HEALTHY_SECONDS:-300}

folder=$WORKSPACE${PRIMARY_REPO:+/$PRIMARY_REPO}
stopping=
trap 'stopping=1' TERM INT HUP
sleeper=
# Ends the sleep itself: a signal that comes just before the wait for it must not be lost.
trap '[ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || true' USR1

# Runs the agent in the foreground of the terminal and answers its exit code.
run_agent() {
  local command
  harness_command ''
  harness_flags "$folder"
  log "starts ${command[*]} in $folder (start $start)"
  # A clean screen: a prompt of the last time must not be taken for one of this time.
  [ -z "${TMUX_PANE:-}" ] || printf '\033c'
  (
    # Traps of the loop are not the agent's.
    trap - TERM INT HUP USR1
    cd "$folder" || exit "$EX_NOINPUT"
    record state=running "pid=$BASHPID" "start=$start" "since=$EPOCHSECONDS"
    exec "${command[@]}"
  )
}

# Nothing in here may end the loop, nor hold it up for long when the proxy hangs: the agent is started all the same, and what is wrong shows in its first request.
prepare() {
  # A run of the last time is over, and its id must not be on what the agent does now.
  [ ! -e "$RUN_FILE" ] || ASK_SECONDS=2 "$here/run-hook.sh" stop <<<'{}' || true
  rm -f "$RUN_FILE"
  (restore_stubs) || warn "stubs could not be put back"
  [ -z "${IRON_PROXY_ADMIN_URL:-}" ] || ASK_SECONDS=2 "$here/reauth.sh" --check || warn "the proxy does not vouch for every login, see above"
}

why() {
  case $1 in
    0) echo "ended by itself" ;;
    126 | 127) echo "could not be run (exit $1)" ;;
    *) if [ "$1" -gt 128 ]; then echo "was ended by SIG$(kill -l $(($1 - 128)))"; else echo "failed with exit $1"; fi ;;
  esac
}

wait_for() {
  local seconds=$1
  record state=waiting "until=$((EPOCHSECONDS + seconds))" "start=$start" "since=$EPOCHSECONDS"
  sleep "$seconds" &
  sleeper=$!
  log "starts again in $seconds s"
  wait "$sleeper" || true
  kill "$sleeper" 2>/dev/null || true
}

harness_command ''
base=$first
for ((start = 1; ; start++)); do
  prepare
  began=$EPOCHSECONDS
  code=0
  run_agent || code=$?
  lasted=$((EPOCHSECONDS - began))
  put "$AGENT_STATE/exit" 0644 printf '%s\n' "code=$code" "at=$EPOCHSECONDS" "lasted=$lasted" "start=$start"
  log "$HARNESS $(why "$code") after $lasted s"
  [ -z "$stopping" ] || break
  [ "$lasted" -lt "$healthy" ] || base=$first
  wait_for $((base + RANDOM % base))
  [ -z "$stopping" ] || break
  base=$((base * 2 < most ? base * 2 : most))
done
log "stopped"
