#!/usr/bin/env bash
# The main process of an agent's container: a tmux session with the agent in one pane and a shell in the other, its output in the
# container's log. It ends when the agent's loop does, so that nobody takes a live session for a live agent; TERM ends it gracefully.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=state.sh
. "$here/state.sh"
# shellcheck source=harness.sh
. "$here/harness.sh"
# shellcheck source=prompts.sh
. "$here/prompts.sh"
# shellcheck source=transcript.sh
. "$here/transcript.sh"
# shellcheck source=signs.sh
. "$here/signs.sh"
load_env
need AGENT_NAME
have tmux || fail "$EX_UNAVAILABLE" "the program tmux is not installed"

tick=${TICK_SECONDS:-2}
grace=${STOP_SECONDS:-20}
# Seconds that a screen may stand still while it is empty, or while a message is being worked on.
hung=${HUNG_SECONDS:-600}
# Seconds of a still screen after which a turn that failed or was interrupted has ended.
settled=${SETTLED_SECONDS:-10}
still=$EPOCHSECONDS
last=
stopping=
trap 'stopping=1' TERM INT

# Where hooks of the agent write what they saw of a run: the container's log.
export RUN_LOG=/proc/$$/fd/1

start_session() {
  local name
  mkdir -p "$AGENT_STATE"
  rm -f "$AGENT_FILE" "$HEARTBEAT" "$SIGNS_FILE"
  for name in agent shell; do
    rm -f "$AGENT_STATE/$name.pipe"
    mkfifo -m 0600 "$AGENT_STATE/$name.pipe"
  done
  node "$here/strip-ansi.ts" "$RUN_FILE" "$AGENT_STATE/agent.pipe" "$AGENT_STATE/shell.pipe" &
  writer=$!
  # In one go, so that the pipes are there before the first byte.
  agent_tmux new-session -d -s main -n agent -x 220 -y 50 -c "$WORKSPACE" "exec '$here/agent-loop.sh'" \; \
    set-option -g remain-on-exit on \; set-option -g history-limit 5000 \; \
    pipe-pane -t "$AGENT_PANE" "exec cat >'$AGENT_STATE/agent.pipe'" \; \
    split-window -d -t "$AGENT_PANE" -c "$WORKSPACE" \; \
    pipe-pane -t '=main:agent.1' "exec cat >'$AGENT_STATE/shell.pipe'"
}

end_session() {
  agent_tmux kill-server 2>/dev/null || true
  sleep 0.3
  kill "$writer" 2>/dev/null || true
  wait "$writer" || true
}

# `dead status` of the pane that the loop runs in; fails when there is none.
pane_state() { agent_tmux display-message -p -t "$AGENT_PANE" '#{pane_dead} #{pane_dead_status}' 2>/dev/null; }

# end_agent SIGNAL [PID]: signals the agent, if it still runs (as PID). Without a process there is none to signal: 0 would be our own group.
end_agent() {
  local pid
  pid=$(field pid)
  if [ "$pid" -le 1 ] || [ "${2:-$pid}" != "$pid" ]; then return; fi
  kill "-$1" "$pid" 2>/dev/null || true
}

stop() {
  local end=$((EPOCHSECONDS + grace)) state
  log "stops; the agent has $grace s to end"
  kill -TERM "$(agent_tmux display-message -p -t "$AGENT_PANE" '#{pane_pid}')" 2>/dev/null || true
  end_agent TERM
  while state=$(pane_state) && [ "${state%% *}" = 0 ]; do
    if [ "$EPOCHSECONDS" -ge "$end" ]; then
      warn "the agent did not end within $grace s and is killed"
      end_agent KILL
      break
    fi
    sleep 0.2
  done
  end_session
  exit 0
}

# True while the agent works on a message. An idle agent draws nothing, and lives.
at_work() {
  [ -n "$(run_id)" ] && case $(turn_state) in idle | done | failed | interrupted) return 1 ;; esac
}

# An agent that works on a message, or shows an empty screen, and draws nothing for long enough hangs: it draws while it thinks.
watch_screen() {
  local screen=$1 quiet pid
  if [ "$screen" != "$last" ] || [ "$(field state)" != running ]; then
    last=$screen
    still=$EPOCHSECONDS
    return
  fi
  quiet=$((EPOCHSECONDS - still))
  # No hook runs when an operator interrupts a turn; its run ends here.
  if [ "$quiet" -ge "$settled" ] && [ -n "$(run_id)" ]; then
    case $(turn_state) in
      idle | failed | interrupted) "$here/run-hook.sh" stop <<<'{}' || true ;;
    esac
  fi
  if [ "$quiet" -ge "$hung" ] && { [[ $screen != *[![:space:]]* ]] || at_work; }; then
    warn "the agent hangs: its screen has not changed for $hung s; it is ended"
    pid=$(field pid)
    end_agent TERM
    sleep 5
    # Not the next agent, which may have started by now.
    end_agent KILL "$pid"
    still=$EPOCHSECONDS
  fi
}

start_session
log "the agent $AGENT_NAME is in tmux -L $AGENT_SOCKET, session main"
while :; do
  [ -z "$stopping" ] || stop
  state=$(pane_state) || { end_session && fail 1 "the tmux session has gone, and the agent with it"; }
  if [ "${state%% *}" = 1 ]; then
    end_session
    fail 1 "the agent's loop has ended with status ${state#* }"
  fi
  screen=$(agent_tmux capture-pane -p -t "$AGENT_PANE") || continue
  press_prompts "$screen"
  watch_screen "$screen"
  write_signs "$screen" $((EPOCHSECONDS - still))
  if agent_lives; then touch "$HEARTBEAT"; fi
  sleep "$tick" &
  wait $! || true
done
