/**
 * What looks at an agent's container from inside, for images without `iron-proxy`: a script for any POSIX shell with curl or wget, as
 * `kubectl exec POD -- sh -c 'script=$(curl -sf http://iron-proxy.internal/doctor) && sh -c "$script"'`. It sends nothing of what it finds.
 */
export const doctorScript = String.raw`#!/bin/sh
# iron-proxy doctor, from http://iron-proxy.internal/doctor: pass or FAIL for each check, exit 1 when one fails.
faults=0
pass() { printf 'pass  %-10s %s\n' "$1" "$2"; }
fail() { printf 'FAIL  %-10s %s\n      %-10s %s\n' "$1" "$2" '' "$3"; faults=$((faults + 1)); }
get() { # URL; the reply, whatever its status
  if command -v curl >/dev/null 2>&1; then curl -sS --max-time 5 "$1" 2>&1
  else wget -q -T 5 -O - "$1" 2>&1; fi
}
opens() { # URL; whether anything answers there
  if command -v curl >/dev/null 2>&1; then curl -sk --connect-timeout 3 --max-time 5 -o /dev/null "$1" 2>/dev/null
  else wget -q -T 3 -O /dev/null --no-check-certificate "$1" >/dev/null 2>&1; fi
}

servers=$(sed -n 's/^nameserver[[:space:]]*//p' /etc/resolv.conf | tr '\n' ' ')
case $servers in
  *' '*' ') fail resolver "several nameservers: $servers" 'name the proxy alone: dnsPolicy None, as iron-proxy init writes it' ;;
  *) pass resolver "one nameserver: $servers" ;;
esac

self=$(get http://iron-proxy.internal/v1/self)
agent=$(printf %s "$self" | sed -n 's/.*"agent":"\([^"]*\)".*/\1/p')
if [ -n "$agent" ] && [ -z "$(printf %s "$self" | sed -n 's/.*"error".*/x/p')" ]; then pass identity "the proxy knows this container as $agent"
else fail identity "the proxy says: $(printf %s "$self" | head -c 300)" 'look at the agents of the policy: namespace and labels of this pod'; fi

secure=$(get https://iron-proxy.internal/v1/self)
case $secure in
  *'"agent":"'*) pass trust 'this client trusts the CA of the proxy' ;;
  *) fail trust "$(printf %s "$secure" | head -c 200)" 'mount the bundle and set the variables: iron-proxy env --format k8s' ;;
esac

for name in SSL_CERT_FILE CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE PIP_CERT AWS_CA_BUNDLE CARGO_HTTP_CAINFO NPM_CONFIG_CAFILE \
  GRPC_DEFAULT_SSL_ROOTS_FILE_PATH DENO_CERT NIX_SSL_CERT_FILE NODE_EXTRA_CA_CERTS; do
  file=$(printenv "$name")
  if [ -z "$file" ]; then fail variable "$name is not set" 'set it to the bundle'
  elif ! grep -q 'BEGIN CERTIFICATE' "$file" 2>/dev/null; then fail variable "$name: $file holds no certificate" 'mount the bundle there'; fi
done

# By address: a name leads to the proxy.
ways='https://1.1.1.1/ https://8.8.8.8/'
if [ -n "$KUBERNETES_SERVICE_HOST" ]; then ways="$ways https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/"; fi
for way in $ways; do
  if opens "$way"; then fail egress "$way answers without the proxy" 'apply the NetworkPolicy of iron-proxy init, and see that the network plugin enforces it'
  else pass egress "$way does not answer"; fi
done

if [ -e /var/run/secrets/kubernetes.io/serviceaccount/token ]; then
  fail token 'a ServiceAccount token is mounted' 'set automountServiceAccountToken: false'
else pass token 'no ServiceAccount token is mounted'; fi

live=$(env | grep -E '=(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60}|sk-(ant|proj)-[A-Za-z0-9_-]{40}|AKIA[A-Z0-9]{16}|xox[bp]-[0-9])' | sed 's/=.*//' | tr '\n' ' ')
if [ -n "$live" ]; then fail secrets "variables hold what looks like a real key: $live" 'replace it by the stub of the policy, and renew the key'
else pass secrets 'no variable looks like a real key'; fi

[ "$faults" -eq 0 ]
`
