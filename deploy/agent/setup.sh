#!/usr/bin/env bash
# Makes a home an agent can work in: trust, stubs, instructions, settings, channel, repositories. Run before the agent starts, as an
# init container; run again it changes nothing that is right already. README.md beside it names its variables.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=harness.sh
. "$here/harness.sh"
# shellcheck source=trust.sh
. "$here/trust.sh"
# shellcheck source=stubs.sh
. "$here/stubs.sh"
# shellcheck source=checkout.sh
. "$here/checkout.sh"

check_inputs() {
  need AGENT_NAME
  [[ $AGENT_NAME =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] ||
    fail "$EX_CONFIG" "AGENT_NAME: \"$AGENT_NAME\" is not lower-case letters, digits and dashes"
  local program
  for program in git jq curl node; do have "$program" || fail "$EX_UNAVAILABLE" "the program $program is not installed"; done
  harness_command ''
  agent_file CLAUDE.md >/dev/null ||
    fail "$EX_NOINPUT" "no persona for $AGENT_NAME: neither $PERSONA_DIR/CLAUDE.md nor $AGENTS_DIR/$AGENT_NAME/CLAUDE.md"
  [ -r "$here/channels/$CHANNEL.sh" ] || fail "$EX_CONFIG" "CHANNEL: there is no \"$CHANNEL\""
  # shellcheck source=channels/none.sh
  . "$here/channels/$CHANNEL.sh"
  channel_needs
  mkdir -p "$AGENT_STATE" "$WORKSPACE" || fail "$EX_CONFIG" "cannot write to $AGENT_STATE or $WORKSPACE"
}

# What all agents are told comes first, so that the persona can be more exact.
instructions() {
  local file
  for file in "$(shared_file CLAUDE.md || true)" "$(agent_file CLAUDE.md)"; do
    [ -z "$file" ] || { cat "$file" && echo; }
  done
}

# merged NAME FILTER [FILE…]: the shared JSON file, the persona's and more as one; {} when there is none.
merged() {
  local file files=()
  for file in "$(shared_file "$1" || true)" "$(agent_file "$1" || true)" "${@:3}"; do
    [ ! -f "$file" ] || files+=("$file")
  done
  if [ ${#files[@]} -eq 0 ]; then echo '{}'; else jq -s "$2" "${files[@]}"; fi
}

# Objects of both, the persona's values over the shared ones; what either denies stays denied.
readonly merge_settings='
  ([.[].permissions.deny // [] | .[]] | unique) as $deny
  | reduce .[] as $each ({}; . * $each)
  | if $deny == [] then . else .permissions.deny = $deny end'

# Names of ours are filled in here: not every version of Claude Code does so in this file.
readonly merge_servers='
  reduce .[] as $each ({}; . * $each) | .mcpServers // {}
  | walk(if type == "string" then gsub("\\$\\{(?<name>AGENT_\\w+)\\}"; env[.name] // "") else . end)'

install_instructions() {
  put "$AGENT_HOME/$(harness_memory)" 0644 instructions
  local folder file
  if folder=$(agent_file agents) && [ -d "$folder" ]; then
    for file in "$folder"/*.md; do
      [ ! -e "$file" ] || put "$CLAUDE_DIR/agents/$(basename "$file")" 0644 cat "$file"
    done
  fi
}

# The file that Claude Code asks its first questions by: each question that has a setting is answered here, as the keys of prompts.tsv may
# choose something else in the next version. MCP servers stand here too, in the user's scope.
claude_state() {
  local before=$AGENT_HOME/.claude.json servers
  servers=$(merged mcp.json "$merge_servers") || return 1
  [ -s "$before" ] || before=/dev/null
  trusted_folders | jq -Rn --slurpfile before "$before" --argjson servers "$servers" '
    reduce inputs as $folder ($before[0] // {}; .projects[$folder] +=
      {hasTrustDialogAccepted: true, hasTrustDialogBashAccepted: true, hasCompletedProjectOnboarding: true})
    | .hasCompletedOnboarding = true
    | .theme //= "dark"
    | .bypassPermissionsModeAccepted = true
    # "Make auto mode your default permission mode?", and the notice after it (2.1.300 and later).
    | .hasSeenAutoDefaultNudge = true
    | .hasSeenAutoDefaultNotice = true
    # "Resuming the full session uses a lot of your usage limits."
    | .resumeReturnDismissed = true
    | .mcpServers = $servers'
}

install_settings() {
  local capabilities
  if capabilities=$(agent_file capabilities.yaml); then
    put "$AGENT_STATE/scopes.json" 0644 iron_proxy scopes --as claude "$capabilities" || fail "$EX_CONFIG" "$capabilities is not valid"
  else
    rm -f "$AGENT_STATE/scopes.json"
  fi
  put "$AGENT_STATE/channel.json" 0644 channel_settings
  put "$CLAUDE_DIR/settings.json" 0644 merged settings.json "$merge_settings" "$AGENT_STATE/channel.json" "$AGENT_STATE/scopes.json" ||
    fail "$EX_CONFIG" "a settings.json is not JSON"
  put "$AGENT_HOME/.claude.json" 0600 claude_state || fail "$EX_CONFIG" "$AGENT_HOME/.claude.json or an mcp.json is not JSON"
  install_run_hooks
  put "$AGENT_STATE/env.d/40-agent.sh" 0644 agent_lines
}

# The hooks of harnesses that do not read Claude Code's settings. What is there already stays: an operator's own file goes before ours.
install_run_hooks() {
  case $HARNESS in
    codex) hook_file "$AGENT_HOME/.codex/hooks.json" UserPromptSubmit PostToolUse Stop 15 ;;
    # Milliseconds, unlike the others.
    gemini-cli) hook_file "$AGENT_HOME/.gemini/settings.json" BeforeAgent AfterTool AfterAgent 15000 ;;
    opencode) put "$AGENT_HOME/.config/opencode/plugin/run-events.js" 0644 cat "$here/run-events/opencode.js" ;;
    *) ;;
  esac
}

# hook_file FILE PROMPT TOOL STOP TIMEOUT: adds our hooks to a JSON file under the names that its harness has for the three.
hook_file() {
  local before=$1
  [ -s "$before" ] || before=/dev/null
  put "$1" 0644 jq -n --slurpfile before "$before" --arg prompt "$2" --arg tool "$3" --arg stop "$4" --argjson timeout "$5" '
    def ours($what): [{hooks: [{type: "command", command: "\"$AGENT_SCRIPTS\"/run-hook.sh \($what)", $timeout}]}];
    ($before[0] // {}) | .hooks = {($prompt): ours("prompt"), ($tool): ours("tool"), ($stop): ours("stop")} + (.hooks // {})' ||
    fail "$EX_CONFIG" "$1 is not JSON"
}

agent_lines() {
  export_line AGENT_NAME "$AGENT_NAME"
  export_line AGENT_SCRIPTS "$AGENT_SCRIPTS"
  [ -z "${CHANNEL_PLUGIN:-}" ] || export_line CHANNEL_PLUGIN "$CHANNEL_PLUGIN"
  # An agent has nothing to report to anyone but its crew. CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC and DISABLE_TELEMETRY would switch off
  # remote control and channels too: Claude Code asks feature flags for both.
  local name
  for name in DISABLE_ERROR_REPORTING DISABLE_FEEDBACK_COMMAND DISABLE_BUG_COMMAND DISABLE_AUTOUPDATER CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY; do
    export_line "$name" 1
  done
}

# The operator's own step. It may fail, and the agent starts all the same, but never unnoticed.
run_hook() {
  [ -n "${SETUP_COMMAND:-}" ] || return 0
  local seconds=${SETUP_TIMEOUT_SECONDS:-600} code=0
  (cd "$AGENT_HOME" && timeout --kill-after=5 "$seconds" bash -o pipefail -c "$SETUP_COMMAND") || code=$?
  case $code in
    0) ;;
    124 | 137) warn "SETUP_COMMAND did not end within $seconds s" ;;
    *) warn "SETUP_COMMAND exited with $code" ;;
  esac
}

check_inputs
refuse_real_values --env
install_trust
load_env
restore_stubs
install_git
refuse_real_values "$AGENT_HOME"
install_instructions
install_settings
channel_files
[ "$HARNESS" != claude-code ] || "$here/reconcile-plugins.sh"
channel_join
check_out
run_hook
log "complete"
