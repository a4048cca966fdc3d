# shellcheck shell=bash
# Makes every client of the agent trust the proxy, and those that know of proxies use it. Sourced by setup.sh.
# Most variables replace a client's roots, so the bundle holds the public roots too: hosts that the proxy passes through unopened
# show their own certificates. The list of variables is the proxy's (`iron-proxy env`).

BUNDLE=$AGENT_STATE/ca-bundle.crt
SYSTEM_ROOTS=${SYSTEM_ROOTS:-/etc/ssl/certs/ca-certificates.crt}

install_trust() {
  mkdir -p "$AGENT_STATE/env.d"
  put "$AGENT_STATE/env.d/20-proxy.sh" 0644 proxy_lines
  local ours
  ours=$(proxy_ca) || exit
  if [ -z "$ours" ]; then
    warn "no CA: set IRON_PROXY_CA_CRT, IRON_PROXY_CA_FILE or IRON_PROXY_METRICS_URL; clients trust the public roots only"
    rm -f "$BUNDLE" "$AGENT_STATE/env.d/10-trust.sh"
    return
  fi
  [[ $ours == *'BEGIN CERTIFICATE'* ]] || fail "$EX_CONFIG" "what was given as the proxy's CA is no PEM certificate"
  [[ $ours != *'PRIVATE KEY'* ]] ||
    fail "$EX_CONFIG" "the proxy's CA came with a private key: agents get the certificate only; rotate that CA"
  [ -r "$SYSTEM_ROOTS" ] || fail "$EX_NOINPUT" "no public roots at SYSTEM_ROOTS=$SYSTEM_ROOTS"
  put "$BUNDLE" 0644 bundle_of "$ours"
  put "$AGENT_STATE/env.d/10-trust.sh" 0644 iron_proxy env --bundle "$BUNDLE"
}

# The certificate as PEM: given, mounted, or asked from the proxy; nothing when there is none of them.
proxy_ca() {
  if [ -n "${IRON_PROXY_CA_CRT:-}" ]; then
    printf '%s\n' "$IRON_PROXY_CA_CRT"
  elif [ -n "${IRON_PROXY_CA_FILE:-}" ]; then
    [ -r "$IRON_PROXY_CA_FILE" ] || fail "$EX_NOINPUT" "no readable file IRON_PROXY_CA_FILE=$IRON_PROXY_CA_FILE"
    cat "$IRON_PROXY_CA_FILE"
  elif [ -n "${IRON_PROXY_METRICS_URL:-}" ]; then
    local seconds=${PROXY_WAIT_SECONDS:-120}
    curl --silent --show-error --fail --noproxy '*' --retry "$seconds" --retry-delay 1 --retry-max-time "$seconds" \
      --retry-all-errors "${IRON_PROXY_METRICS_URL%/}/ca.crt?only=ours" ||
      fail "$EX_UNAVAILABLE" "no proxy at IRON_PROXY_METRICS_URL=$IRON_PROXY_METRICS_URL after $seconds s"
  fi
}

bundle_of() {
  printf '%s\n' "$1"
  cat "$SYSTEM_ROOTS"
}

# In a pod, DNS leads to the proxy and nothing is needed here; elsewhere IRON_PROXY_URL names the explicit door.
proxy_lines() {
  local name
  [ -n "${IRON_PROXY_URL:-}" ] || return 0
  for name in HTTPS_PROXY HTTP_PROXY https_proxy http_proxy; do export_line "$name" "$IRON_PROXY_URL"; done
  for name in NO_PROXY no_proxy; do export_line "$name" "${NO_PROXY:-localhost,127.0.0.1,::1,.svc,.cluster.local}"; done
  # Node's own fetch reads the variables above only when told to.
  export_line NODE_USE_ENV_PROXY 1
}
