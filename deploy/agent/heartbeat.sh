#!/usr/bin/env bash
# Is the agent alive? For a liveness probe: exit 0 when the entrypoint saw it live within the last seconds (60 unless said otherwise).
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=state.sh
. "$here/state.sh"

most=${1:-60}
[ -e "$HEARTBEAT" ] || fail 1 "no heartbeat yet"
age=$((EPOCHSECONDS - $(stat -c %Y "$HEARTBEAT")))
[ "$age" -le "$most" ] || fail 1 "the last heartbeat was $age s ago"
