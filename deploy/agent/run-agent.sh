#!/usr/bin/env bash
# run-agent.sh DIRECTORY NAME: what agent-supervisor runs in a terminal: one agent, once. Its variables come from DIRECTORY/NAME.env, its process
# id goes to NAME.pid, and how it ended to NAME.exit. Then the terminal is a shell's, for whoever wants to look.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
directory=$1
name=$2
set -a
# shellcheck source=/dev/null
. "$directory/$name.env"
set +a
# Nobody needs it any more.
rm -f "$directory/$name.env"
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=harness.sh
. "$here/harness.sh"

harness_command "${AGENT_PROMPT:-}"
unset AGENT_PROMPT
# A group of its own, in front of the terminal: a signal for the agent reaches its children, and not us.
set -m
code=0
(
  put "$directory/$name.pid" 0600 echo "$BASHPID"
  exec "${command[@]}"
) || code=$?
set +m
put "$directory/$name.exit" 0600 printf '%s\n' "$code"
log "$AGENT_NAME ended with exit $code"
exec "${SHELL:-bash}"
