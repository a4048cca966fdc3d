#!/usr/bin/env bash
# heartbeat.sh [SECONDS]: is the agent alive? For a liveness probe: exit 0 when the entrypoint saw it live within the last seconds (default
# 60). heartbeat.sh --ready [SECONDS]: can it be reached too? Exit 1 when a question waits on its screen, its channel is not loaded or its
# remote control is not connected; a restart would help none of these, so without --ready they are said, and the exit code stays 0.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=state.sh
. "$here/state.sh"

ready=
[ "${1:-}" != --ready ] || { ready=1 && shift; }
most=${1:-60}
[ -e "$HEARTBEAT" ] || fail 1 "no heartbeat yet"
age=$((EPOCHSECONDS - $(stat -c %Y "$HEARTBEAT")))
[ "$age" -le "$most" ] || fail 1 "the last heartbeat was $age s ago"
while read -r line; do
  [ -z "$ready" ] || fail 1 "$line"
  warn "$line"
done < <(cat "$AGENT_STATE/signs" 2>/dev/null)
