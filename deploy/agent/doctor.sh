#!/usr/bin/env bash
# Is this agent set up well? Looks at its home, its clients, the way to the proxy and the ways around it; says what is wrong with each, and
# exits 1 when something is. Changes nothing, and sends nothing but a GET to a host that is allowed and one that is not.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=harness.sh
. "$here/harness.sh"
# shellcheck source=stubs.sh
. "$here/stubs.sh"

allowed=${PROBE_URL:-https://api.github.com/}
denied=${DENIED_URL:-https://denied.invalid/}
# An address that answers on the open internet, or none.
direct=${DIRECT_ADDRESS:-1.1.1.1:443}
faults=0

# check NAME FUNCTION…: the function prints what is wrong, line by line, and nothing when all is well.
check() {
  local name=$1 said line
  shift
  said=$("$@" 2>&1) || true
  if [ -z "$said" ]; then
    printf 'ok     %s\n' "$name"
    return
  fi
  while read -r line; do
    printf 'FAULT  %s: %s\n' "$name" "$line"
    faults=$((faults + 1))
  done <<<"$said"
}

programs() {
  local program
  for program in git jq curl node tmux; do have "$program" || echo "$program is not installed"; done
  local command
  harness_command ''
  have "${command[0]}" || echo "${command[0]} is not installed"
}

named() { [ -n "${AGENT_NAME:-}" ] || echo "AGENT_NAME is not set"; }

trust() {
  local file lines=$AGENT_STATE/env.d/10-trust.sh
  [ -r "$lines" ] || { echo "no client was told of the proxy's CA: run setup.sh with IRON_PROXY_CA_CRT" && return; }
  while read -r file; do
    [ -s "$file" ] || echo "$file is missing or empty"
  done < <(sed -n "s/.*='\(\/.*\)'$/\1/p" "$lines" | sort -u)
  [ -z "${SSL_CERT_FILE:-}" ] || [ "$SSL_CERT_FILE" = "$AGENT_STATE/ca-bundle.crt" ] || echo "SSL_CERT_FILE leads elsewhere: $SSL_CERT_FILE"
  [ -n "${NODE_EXTRA_CA_CERTS:-}" ] || echo "NODE_EXTRA_CA_CERTS is not set: start shells with $AGENT_STATE/env.d/*.sh"
}

same_ca() {
  local ours
  ours=$(curl --silent --show-error --fail --max-time 10 --noproxy '*' "${IRON_PROXY_METRICS_URL%/}/ca.crt?only=ours") ||
    { echo "the proxy does not show its CA at $IRON_PROXY_METRICS_URL" && return; }
  # The last line of base64 is as good as any to tell certificates apart.
  grep -qxF "$(grep -v -- '-----' <<<"$ours" | tail -n 1)" "$AGENT_STATE/ca-bundle.crt" 2>/dev/null ||
    echo "the proxy signs with a CA that is not in the bundle: run setup.sh and start the agent anew"
}

stub_files() {
  local name place file
  for name in $(harness_stubs) ${AGENT_STUB_FILES:-}; do
    place=$(stub_places "$name")
    file=$AGENT_HOME/${place%% *}
    if [ ! -e "$file" ]; then echo "$file is missing"
    elif ! cmp -s "$STUBS_DIR/${place#* }" "$file"; then echo "$file is not the stub file"
    elif [ "$(stat -c %a "$file")" != 600 ]; then echo "others can read $file"; fi
  done
}

real_values() { node "$AGENT_SCRIPTS/live-keys.ts" --env "$AGENT_HOME"; }

git_settings() {
  [ "$(git config --global --get credential.helper)" = store ] || echo "credential.helper is not store: pushes will ask for a password"
  [ -s "$AGENT_HOME/.git-credentials" ] || echo "$AGENT_HOME/.git-credentials is missing"
  [ -z "$(git config --global --get http.sslCAInfo)" ] || [ -n "${GIT_SSL_CAINFO:-}" ] || echo "http.sslCAInfo is set, and GIT_SSL_CAINFO is not"
  [ "$(git config --get http.sslVerify)" != false ] || echo "http.sslVerify is off"
}

hooks() {
  local settings=$CLAUDE_DIR/settings.json command
  [ "$HARNESS" = claude-code ] || return 0
  [ -r "$settings" ] || { echo "$settings is missing" && return; }
  jq -e . "$settings" >/dev/null 2>&1 || { echo "$settings is not JSON" && return; }
  while read -r command; do
    # Ours are scripts of this folder; what else stands there is the operator's.
    command=${command//\"/}
    command=${command/\$AGENT_SCRIPTS/$AGENT_SCRIPTS}
    [[ $command != "$AGENT_SCRIPTS"/* ]] || [ -x "${command%% *}" ] || echo "the hook ${command%% *} cannot be run"
  done < <(jq -r '.hooks // {} | .[][].hooks[]?.command // empty' "$settings")
}

repositories() {
  local repository
  for repository in ${AGENT_REPOS:-}; do
    [ -d "$WORKSPACE/$(basename "$repository" .git)/.git" ] || echo "$repository is not checked out"
  done
}

curl_trusts() {
  local code=0
  curl --silent --show-error --output /dev/null --max-time 20 "$allowed" 2>/dev/null || code=$?
  case $code in
    0) ;;
    60 | 77) echo "curl does not trust who answers for $allowed" ;;
    5 | 6 | 7 | 56 | 97) echo "curl cannot reach $allowed (exit $code)" ;;
    *) echo "curl fails for $allowed with exit $code" ;;
  esac
}

node_trusts() {
  node --input-type=module -e '
    await fetch(process.argv[1], { signal: AbortSignal.timeout(20_000) }).catch(({ message, cause }) =>
      console.log(`Node cannot fetch ${process.argv[1]}: ${cause?.code ?? message}`))' "$allowed"
}

# What is not allowed is refused, in the proxy's own words, to the agent that it takes us for.
refusal() {
  local reply agent
  reply=$(curl --silent --include --max-time 20 "$denied" 2>/dev/null) || true
  grep -qi '^proxy-status:.*iron-proxy' <<<"$reply" || { echo "$denied was not refused by the proxy" && return; }
  # Of a tunnel that is refused curl shows the head alone; of plain HTTP the body too.
  agent=$(curl --silent --max-time 20 "http://${denied#*://}" 2>/dev/null | jq -r '.error.agent // empty' 2>/dev/null)
  [ -z "$agent" ] || [ "$agent" = "${AGENT_NAME:-}" ] || echo "the proxy takes this agent for $agent"
}

no_way_around() {
  ! timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "${direct%:*}" "${direct##*:}" 2>/dev/null ||
    echo "$direct can be reached without the proxy: a NetworkPolicy has to close that way"
}

names_lead_here() {
  local found host=${allowed#*://}
  found=$(getent ahostsv4 "${host%%[/:]*}" | sed -n '1s/ .*//p')
  [ "$found" = "$IRON_PROXY_ADDRESS" ] || echo "names lead to ${found:-nowhere}, and not to the proxy at $IRON_PROXY_ADDRESS"
}

pulse() { "$here/heartbeat.sh" --ready 2>&1 | sed 's/^.*FATAL: //'; }

# What the agent inherits, before anything is added to it here.
check 'real values' real_values
load_env
check 'name' named
check 'programs' programs
check 'trust' trust
[ -z "${IRON_PROXY_METRICS_URL:-}" ] || check 'CA' same_ca
check 'stub files' stub_files
check 'git' git_settings
check 'hooks' hooks
check 'repositories' repositories
[ -z "${IRON_PROXY_ADDRESS:-}" ] || check 'DNS' names_lead_here
check 'curl' curl_trusts
check 'Node' node_trusts
check 'refusals' refusal
[ "$direct" = none ] || check 'no way around' no_way_around
[ ! -e "$AGENT_STATE/agent" ] || check 'heartbeat' pulse
[ "$faults" -eq 0 ] || exit 1
