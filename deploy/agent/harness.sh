# shellcheck shell=bash
# The one table of coding agents: how each is started, which stub file it reads, where it looks for its instructions.
# Sourced; each function answers for $HARNESS. A prompt makes it do one thing and end.

readonly harnesses='claude-code codex opencode gemini-cli custom'

# harness_command [PROMPT]: the array `command`, to run in the working directory.
harness_command() {
  local prompt=${1:-}
  case $HARNESS in
    claude-code) command=(claude ${prompt:+-p "$prompt"}) ;;
    codex) command=(codex ${prompt:+exec "$prompt"}) ;;
    opencode) command=(opencode ${prompt:+--prompt "$prompt"}) ;;
    gemini-cli) command=(gemini ${prompt:+"$prompt"}) ;;
    custom) command=("${AGENT_COMMAND:-agent}" ${prompt:+"$prompt"}) ;;
    *) fail "$EX_CONFIG" "HARNESS: there is no \"$HARNESS\"; there are ${harnesses// /, }" ;;
  esac
}

# harness_flags FOLDER: adds what an agent needs that lives in a terminal: no question for each step (the proxy is the boundary, and
# rules that deny still hold), its last conversation, its channel.
harness_flags() {
  case $HARNESS in
    claude-code)
      # Claude Code keeps conversations under the path they were held in, each character but letters and digits a dash.
      local kept=$CLAUDE_DIR/projects/${1//[^A-Za-z0-9]/-}
      [ -z "$(ls -A "$kept" 2>/dev/null)" ] || command+=(--continue)
      [ -z "${CHANNEL_PLUGIN:-}" ] || command+=(--dangerously-load-development-channels "$CHANNEL_PLUGIN")
      command+=(--remote-control "$AGENT_NAME" --permission-mode bypassPermissions)
      ;;
    codex) command+=(--config features.codex_hooks=true --dangerously-bypass-approvals-and-sandbox) ;;
    gemini-cli) command+=(--yolo) ;;
    opencode | custom) ;;
  esac
}

harness_stubs() {
  case $HARNESS in
    claude-code) echo claude ;;
    codex) echo codex ;;
    gemini-cli) echo gemini ;;
    *) ;;
  esac
}

# The file of instructions that it reads in every folder, below the home.
harness_memory() {
  case $HARNESS in
    claude-code) echo .claude/CLAUDE.md ;;
    codex) echo .codex/AGENTS.md ;;
    gemini-cli) echo .gemini/GEMINI.md ;;
    *) echo .config/opencode/AGENTS.md ;;
  esac
}
