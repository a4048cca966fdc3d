#!/bin/sh
# Turns a `single` proxy in Kubernetes into `ha`, with its logins, spend and runs:
#   deploy/single-to-ha.sh                               # applies deploy/kustomize/overlays/ha at the end
#   deploy/single-to-ha.sh kubectl apply -k my/overlay   # or what you say, a `helm upgrade` too
# Needs the Secret iron-proxy-redis with a `password`. Two proxies with different state never run at once: agents have no proxy from
# the end of the old pod to the start of the new ones, a minute or two. The old volume stays; delete it when all is well.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
namespace=${NAMESPACE:-iron-proxy}
job=iron-proxy-single-to-ha
in_namespace() { kubectl --namespace "$namespace" "$@"; }

in_namespace get secret/iron-proxy-redis secret/iron-proxy-seal >/dev/null
in_namespace get persistentvolumeclaim/state-iron-proxy-0 >/dev/null

back() {
  status=$?
  [ "$status" = 0 ] && return
  echo "not moved; the volume is as it was. Back to one: kubectl --namespace $namespace scale statefulset/iron-proxy --replicas=1" >&2
}
trap back EXIT

in_namespace scale statefulset/iron-proxy --replicas=0
# As long as its streams may run (terminationGracePeriodSeconds), and some.
in_namespace wait --for=delete pod/iron-proxy-0 --timeout=400s
in_namespace delete "job/$job" --ignore-not-found
kubectl apply -k "$here/kustomize/single-to-ha"
in_namespace wait --for=condition=complete "job/$job" --timeout=330s
# What it carried; that it ended well is known already.
in_namespace logs "job/$job" || true
trap - EXIT

# Its volume stays: a claim of a StatefulSet outlives it.
in_namespace delete statefulset/iron-proxy
if [ $# -gt 0 ]; then "$@"; else kubectl apply -k "$here/kustomize/overlays/ha"; fi
in_namespace rollout status deployment/iron-proxy --timeout=300s
in_namespace delete "job/$job" networkpolicy/iron-proxy-redis-single-to-ha
