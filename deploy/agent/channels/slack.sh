# shellcheck shell=bash
# Slack, the second example of a channel: two stubs, one for the Web API and one that opens a socket.
SLACK_BOT_TOKEN=${SLACK_BOT_TOKEN:-proxy-token-slack-bot}
SLACK_APP_TOKEN=${SLACK_APP_TOKEN:-proxy-token-slack-app}

channel_needs() { need CHANNEL_PLUGIN SLACK_ALLOWED_USERS; }

# There is no plugin of ours to suppose: CHANNEL_MARKETPLACE is where the one that you chose comes from.
channel_settings() { plugin_settings "$CHANNEL_PLUGIN" "${CHANNEL_MARKETPLACE:-}"; }

channel_files() {
  put_stubs "$CLAUDE_DIR/channels/slack/.env" printf '%s=%s\n' SLACK_BOT_TOKEN "$SLACK_BOT_TOKEN" SLACK_APP_TOKEN "$SLACK_APP_TOKEN"
  put "$CLAUDE_DIR/channels/slack/access.json" 0600 jq -n --arg users "$SLACK_ALLOWED_USERS" \
    '{allowedUsers: ($users | split("[ ,]+"; null) | map(select(. != "")))}'
}

# An app is invited to its channels by people.
channel_join() { :; }
