#!/bin/sh
# A toy agent: five things it may or may not do, each with the status it should get. Exits 1 when one is not so.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# expect STATUS WHAT CURL-ARGUMENTS…
expect() {
  wanted=$1
  what=$2
  shift 2
  status=$(curl -sS --max-time 20 -o "$work/body" -w '%{http_code}' "$@" 2>"$work/error") || true
  if [ "$status" = "$wanted" ]; then verdict="as expected"; else
    verdict="NOT as expected, which is $wanted"
    failures=$((failures + 1))
  fi
  printf '%s: %s, %s\n  %s\n' "$what" "$status" "$verdict" "$(head -c 300 "$work/body" 2>/dev/null || cat "$work/error")"
}

curl -sS --max-time 20 -o "$work/bundle.crt" "$BUNDLE_URL"
export CURL_CA_BUNDLE="$work/bundle.crt"
api=https://api.service.example
question='{"model":"house-small","max_tokens":40,"messages":[{"role":"user","content":"hello"}]}'

expect 200 'a request with the stub, which the service sees as its real key' \
  -H "Authorization: Bearer $SERVICE_KEY" "$api/who"
expect 403 'a deletion, which a rule refuses' -X DELETE -H "Authorization: Bearer $SERVICE_KEY" "$api/who"
expect 403 'a host that no rule names' https://elsewhere.example/
expect 200 'a question that costs all of its 60 tokens' \
  -H "Authorization: Bearer $SERVICE_KEY" -H 'Content-Type: application/json' -d "$question" "$api/v1/chat/completions"
expect 402 'another, which the budget refuses' \
  -H "Authorization: Bearer $SERVICE_KEY" -H 'Content-Type: application/json' -d "$question" "$api/v1/chat/completions"

[ "$failures" -eq 0 ]
