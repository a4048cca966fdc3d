# shellcheck shell=bash disable=SC2034
# What the scripts of an agent share: where things are, how they speak, how they write. Sourced, never run.
# Every root can be set from outside, so that an agent lives in a container, on a laptop and in a test alike.
set -euo pipefail

AGENT_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
AGENT_HOME=${AGENT_HOME:-${HOME:?}}
AGENT_STATE=${AGENT_STATE:-$AGENT_HOME/.agent}
CLAUDE_DIR=${CLAUDE_CONFIG_DIR:-$AGENT_HOME/.claude}
WORKSPACE=${WORKSPACE:-/workspace}
PERSONA_DIR=${PERSONA_DIR:-/etc/agent/persona}
SHARED_DIR=${SHARED_DIR:-/etc/agent/shared}
AGENTS_DIR=${AGENTS_DIR:-$AGENT_SCRIPTS/agents}
STUBS_DIR=${STUBS_DIR:-$AGENT_SCRIPTS/../../policies/examples/stubs}
HARNESS=${HARNESS:-claude-code}
CHANNEL=${CHANNEL:-none}
export HOME=$AGENT_HOME AGENT_HOME AGENT_STATE AGENT_SCRIPTS WORKSPACE

RUN_FILE=$CLAUDE_DIR/run.json
AGENT_SOCKET=${AGENT_SOCKET:-agent}
# A bare name would match whatever begins with it.
AGENT_PANE='=main:agent.0'
script=$(basename "$0" .sh)

# Exit codes of the proxy's own commands.
readonly EX_USAGE=64 EX_NOINPUT=66 EX_UNAVAILABLE=69 EX_TEMPFAIL=75 EX_CONFIG=78

# The id of the run that the agent works on, empty between runs.
run_id() {
  [ ! -r "$RUN_FILE" ] || jq -r '.run_id // empty' "$RUN_FILE" 2>/dev/null || true
}

log() {
  local run
  run=$(run_id)
  printf '[%s]%s %s\n' "$script" "${run:+[run=$run]}" "$*" >&2
}

warn() { log "WARN: $*"; }

# fail CODE MESSAGE
fail() {
  local code=$1
  shift
  log "FATAL: $*"
  exit "$code"
}

# Fails once for all variables that are unset or empty: whoever sets them up wants the whole list.
need() {
  local name missing=()
  for name in "$@"; do [ -n "${!name:-}" ] || missing+=("$name"); done
  [ ${#missing[@]} -eq 0 ] || fail "$EX_CONFIG" "not set: ${missing[*]}"
}

# tmux of the agent alone: another's server and settings are not ours.
agent_tmux() { tmux -L "$AGENT_SOCKET" -f /dev/null "$@"; }

have() { command -v "$1" >/dev/null; }

# put FILE MODE COMMAND…: the file becomes what the command prints, whole or not at all; untouched when it is that already.
put() {
  local file=$1 mode=$2 new
  shift 2
  mkdir -p "$(dirname "$file")"
  new=$(mktemp "$file.XXXXXX")
  if ! "$@" >"$new"; then
    rm -f "$new"
    return 1
  fi
  chmod "$mode" "$new"
  if [ -f "$file" ] && cmp -s "$new" "$file"; then
    rm -f "$new"
    chmod "$mode" "$file"
  else
    mv -f "$new" "$file"
  fi
}

# export_line NAME VALUE: a line that a shell reads back to the same value.
export_line() { printf 'export %s=%q\n' "$1" "$2"; }

# The variables that setup.sh wrote: trust, the explicit proxy, stubs.
load_env() {
  local file
  for file in "$AGENT_STATE"/env.d/*.sh; do
    # shellcheck source=/dev/null
    [ ! -r "$file" ] || . "$file"
  done
}

# agent_file NAME: where the persona's file is: mounted, else in the image; fails when in neither.
agent_file() { first_of "$PERSONA_DIR/$1" "$AGENTS_DIR/${AGENT_NAME:-}/$1"; }
# The same for what all agents share.
shared_file() { first_of "$SHARED_DIR/$1" "$AGENTS_DIR/_shared/$1"; }

first_of() {
  local file
  for file in "$@"; do
    if [ -e "$file" ]; then
      printf '%s\n' "$file"
      return
    fi
  done
  return 1
}

# The proxy's own program, for what it knows better than a script. Our variables begin as its settings do, so it is not shown them.
iron_proxy() { env --ignore-environment PATH="$PATH" node "$AGENT_SCRIPTS/../../src/bin.js" "$@"; }

# ask_proxy METHOD PATH [JSON]: calls the proxy's admin door and prints the answer. The token comes from a file and goes to curl
# by its standard input: neither environment nor arguments of a process show it. Not through a proxy: it is the proxy.
ask_proxy() {
  need IRON_PROXY_ADMIN_URL
  local args=(--silent --show-error --fail-with-body --max-time "${ASK_SECONDS:-10}" --noproxy '*' --config - --request "$1")
  [ -z "${3:-}" ] || args+=(--header 'Content-Type: application/json' --data "$3")
  {
    [ -z "${IRON_PROXY_ADMIN_TOKEN_FILE:-}" ] ||
      printf 'header = "Authorization: Bearer %s"\n' "$(<"$IRON_PROXY_ADMIN_TOKEN_FILE")"
  } | curl "${args[@]}" "${IRON_PROXY_ADMIN_URL%/}$2"
}

# plugin_settings PLUGIN REPOSITORY: the part of Claude Code's settings that installs and enables a channel's plugin, NAME@MARKETPLACE, from
# the marketplace in a repository (`owner/name`, a URL or a path); without a repository, a marketplace that the persona names.
plugin_settings() {
  jq -n --arg plugin "${1#plugin:}" --arg from "${2:-}" '
    ($plugin | split("@")[1] // "") as $marketplace
    | {enabledPlugins: {($plugin): true}}
    + if $from == "" or $marketplace == "" then {} else
        {extraKnownMarketplaces: {($marketplace): {source: (
          if $from | startswith("/") then {source: "directory", path: $from}
          elif $from | test("^[a-z+]+://") then {source: "git", url: $from}
          else {source: "github", repo: $from} end)}}}
      end'
}
