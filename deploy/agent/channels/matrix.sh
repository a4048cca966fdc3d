# shellcheck shell=bash
# Matrix. The token is a stub; the proxy puts the real one in its place on the way to the homeserver.
CHANNEL_PLUGIN=${CHANNEL_PLUGIN:-plugin:matrix@claude-code-channel-matrix}
CHANNEL_MARKETPLACE=${CHANNEL_MARKETPLACE:-zekker6/claude-code-channel-matrix}
MATRIX_ACCESS_TOKEN=${MATRIX_ACCESS_TOKEN:-proxy-token-matrix}

channel_needs() { need MATRIX_HOMESERVER_URL MATRIX_BOT_USER_ID MATRIX_ALLOWED_USERS; }

channel_settings() { plugin_settings "$CHANNEL_PLUGIN" "$CHANNEL_MARKETPLACE"; }

channel_files() {
  put_stubs "$CLAUDE_DIR/channels/matrix/.env" printf '%s=%s\n' MATRIX_HOMESERVER_URL "$MATRIX_HOMESERVER_URL" \
    MATRIX_ACCESS_TOKEN "$MATRIX_ACCESS_TOKEN" MATRIX_BOT_USER_ID "$MATRIX_BOT_USER_ID"
  put "$CLAUDE_DIR/channels/matrix/access.json" 0600 jq -n --arg users "$MATRIX_ALLOWED_USERS" \
    '{allowedUsers: ($users | split("[ ,]+"; null) | map(select(. != ""))), ackReaction: "👀"}'
}

# A room that cannot be joined yet is no reason not to start: an invitation may come later.
channel_join() {
  local room status
  local rooms=${MATRIX_AUTO_JOIN_ROOMS:-}
  for room in ${rooms//,/ }; do
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$MATRIX_ACCESS_TOKEN" |
      curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 --config - --request POST \
        "${MATRIX_HOMESERVER_URL%/}/_matrix/client/v3/join/$(jq -rn --arg room "$room" '$room | @uri')") || true
    if [ "$status" = 200 ]; then log "joined $room"; else warn "could not join $room: HTTP $status"; fi
  done
}
