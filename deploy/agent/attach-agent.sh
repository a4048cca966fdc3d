#!/usr/bin/env bash
# attach-agent.sh: the agent on this machine · attach-agent.sh AGENT: the one in the cluster · attach-agent.sh --all: who there is, and
# when each was last seen alive. NAMESPACE is agents unless it is set. Leave with C-b d; the agent works on.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
namespace=${NAMESPACE:-agents}

# The pods of agents with these labels, by name.
pods() {
  kubectl get pods --namespace "$namespace" --selector "app.kubernetes.io/component=agent,$1" --output name | sed 's#^pod/##' ||
    fail "$EX_UNAVAILABLE" "the cluster did not answer"
}

case ${1:-} in
  -*h*) sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" ;;
  '')
    agent_tmux has-session -t =main 2>/dev/null || fail 1 "no agent runs on this machine; name one of the cluster"
    exec tmux -L "$AGENT_SOCKET" attach-session -t =main
    ;;
  --all)
    all=$(pods app.kubernetes.io/name) || exit
    for pod in $all; do
      # The pod's own variable.
      said=$(kubectl exec --namespace "$namespace" "$pod" --container agent -- sh -c '"$AGENT_SCRIPTS"/heartbeat.sh --ready' 2>&1) && said=alive
      printf '%-32s %s\n' "$pod" "$said"
    done
    ;;
  -*) fail "$EX_USAGE" "there is no option $1" ;;
  *)
    pod=$(pods "app.kubernetes.io/name=$1") || exit
    pod=${pod%%$'\n'*}
    [ -n "$pod" ] || fail 1 "there is no pod of $1 in the namespace $namespace"
    exec kubectl exec --stdin --tty --namespace "$namespace" "$pod" --container agent -- \
      tmux -L "$AGENT_SOCKET" attach-session -t =main
    ;;
esac
