#!/usr/bin/env bash
# reauth.sh [--check] [CREDENTIAL]: are the crew's logins well? Asks the proxy, which owns them; shows the link for each that only a person
# can help, and waits until it is done. Exit 0: all well; 1: a login is needed; 64: no such
# credential; 75: the proxy did not answer.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"

check=
[ "${1:-}" != --check ] || { check=1 && shift; }
wanted=${1:-}
patience=${REAUTH_SECONDS:-1800}

# `id generation why` for each credential in need, or for the one that was named.
ailing() {
  local rows
  rows=$(ask_proxy GET /v1/credentials) || return 1
  jq -r --arg wanted "$wanted" '.[]
    | select(if $wanted == "" then .needsLogin else .id == $wanted end)
    | "\(.id) \(.generation // 0) \(.needsLogin // "asked for")"' <<<"$rows"
}

# Done is a newer generation that nothing speaks against: that a value is there says nothing about it.
logged_in() {
  local rows
  rows=$(ask_proxy GET /v1/credentials 2>/dev/null) || return 1
  jq -e --arg id "$1" --argjson before "$2" \
    'any(.[]; .id == $id and (.needsLogin | not) and (.generation // 0) > $before)' <<<"$rows" >/dev/null
}

# known CREDENTIAL: whether the proxy has it; fails with the ids that it has.
known() {
  local ids
  ids=$(ask_proxy GET /v1/credentials | jq -r '.[].id') || fail "$EX_TEMPFAIL" "the proxy did not answer"
  grep -qxF -- "$1" <<<"$ids" || fail "$EX_USAGE" "the proxy has no credential \"$1\"; it has: ${ids//$'\n'/, }"
}

[ -z "$wanted" ] || known "$wanted"
list=$(ailing) || fail "$EX_TEMPFAIL" "the proxy did not answer"
[ -n "$list" ] || { [ -n "$check" ] || log "all logins are well" && exit 0; }
while read -r id generation reason; do
  warn "$id needs a login: $reason"
  [ -z "$check" ] || continue
  links=$(ask_proxy POST /v1/login "$(jq -cn --arg credential "$id" '{$credential}')") ||
    fail 1 "no link for $id: $(jq -r '.error.message // .' <<<"$links")"
  printf 'Log %s in on this page, within ten minutes:\n\n%s%s\n\n' "$id" "${IRON_PROXY_ADMIN_URL%/}" "$(jq -r .page <<<"$links")"
  for ((end = EPOCHSECONDS + patience; EPOCHSECONDS < end; )); do
    if logged_in "$id" "$generation"; then
      log "$id is logged in"
      continue 2
    fi
    sleep "${REAUTH_TICK_SECONDS:-3}"
  done
  fail 1 "nobody logged $id in within $patience s"
done <<<"$list"
[ -z "$check" ] || exit 1
