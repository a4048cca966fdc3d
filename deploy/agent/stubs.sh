# shellcheck shell=bash
# What stands where clients look for credentials: stubs, and nothing else. Sourced by setup.sh and before each start of the agent.
# Clients rewrite these files (Claude Code drops the plan from its own when it refreshes), so they are put back whole.

# Where each client looks, below the home, and the file it finds there.
stub_places() {
  case $1 in
    claude) echo ".claude/.credentials.json claude-credentials.json" ;;
    codex) echo ".codex/auth.json codex-auth.json" ;;
    gemini) echo ".gemini/oauth_creds.json gemini-oauth-creds.json" ;;
    aws) echo ".aws/credentials aws-credentials" ;;
    npm) echo ".npmrc npmrc" ;;
    *) fail "$EX_CONFIG" "AGENT_STUB_FILES: there is no stub file for \"$1\"; there are claude, codex, gemini, aws and npm" ;;
  esac
}

# Puts back every stub file of this agent: that of its harness, and those that AGENT_STUB_FILES names.
restore_stubs() {
  local name place target template
  for name in $(harness_stubs) ${AGENT_STUB_FILES:-}; do
    place=$(stub_places "$name") || exit
    template=$STUBS_DIR/${place#* }
    target=$AGENT_HOME/${place%% *}
    [ -r "$template" ] || fail "$EX_NOINPUT" "no stub file $template; STUBS_DIR names their folder"
    put_stubs "$target" cat "$template"
  done
}

# put_stubs FILE COMMAND…: as put, and says so when the file held something else.
put_stubs() {
  local file=$1
  shift
  if [ -f "$file" ] && ! "$@" | cmp -s - "$file"; then
    warn "$file did not hold the stubs: replaced$(look_real "$file")"
  fi
  put "$file" 0600 "$@"
}

look_real() {
  local said
  said=$(node "$AGENT_SCRIPTS/live-keys.ts" "$1") || printf '; it held %s: end that login, it has been on this volume' "${said##*: }"
}

# refuse_real_values --env | PATH…: an agent that holds a real value has lost what the proxy is for, so it does not start.
refuse_real_values() {
  local said line
  said=$(node "$AGENT_SCRIPTS/live-keys.ts" "$@") && return
  while read -r line; do warn "$line"; done <<<"$said"
  [ "${REAL_VALUES:-refuse}" = report ] ||
    fail "$EX_CONFIG" "real values where stubs belong: give them to the proxy, and rotate them; REAL_VALUES=report goes on all the same"
}
