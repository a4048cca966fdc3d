# shellcheck shell=bash disable=SC2034
# What the loop tells the entrypoint: one small file of name=value lines. Sourced by both.
#   state=running pid=… start=… since=…     the agent runs; start counts its starts, since is in seconds of the epoch
#   state=waiting until=… start=… since=…   it has ended and is started again then

AGENT_FILE=$AGENT_STATE/agent
HEARTBEAT=$AGENT_STATE/heartbeat
begun=$EPOCHSECONDS

record() { put "$AGENT_FILE" 0644 printf '%s\n' "$@"; }

# field NAME: its value, 0 before anything was recorded.
field() {
  local value=
  [ ! -r "$AGENT_FILE" ] || value=$(sed -n "s/^$1=//p" "$AGENT_FILE")
  printf '%s\n' "${value:-0}"
}

# Whether the agent runs, or will by itself.
agent_lives() {
  case $(field state) in
    running) kill -0 "$(field pid)" 2>/dev/null ;;
    waiting) [ "$EPOCHSECONDS" -le $(($(field until) + 30)) ] ;;
    # The loop has only just begun.
    *) [ "$EPOCHSECONDS" -le $((begun + 60)) ] ;;
  esac
}
