#!/usr/bin/env bash
# Brings Claude Code's plugins to what settings.json names: its marketplaces, and the plugins that are enabled. A marketplace that cannot
# be reached keeps the plugins it gave before: an agent with yesterday's plugin is better than one without. Always exits 0.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
load_env

settings=$CLAUDE_DIR/settings.json
# `name source` for each marketplace; `plugin@marketplace` for each plugin that is not switched off.
marketplaces='.extraKnownMarketplaces // {} | to_entries[] | "\(.key) \(.value.source | .repo // .url // .path // "")"'
plugins='.enabledPlugins // {} | to_entries[] | select(.value == true or (.value | type) == "object") | .key'

[ -r "$settings" ] || { log "no $settings: nothing to do" && exit 0; }
jq -e . "$settings" >/dev/null 2>&1 || { warn "$settings is not JSON: plugins stay as they are" && exit 0; }
wanted=$(jq -r "$plugins" "$settings")
[ -n "$wanted" ] || exit 0
have claude || { warn "claude is not installed: plugins stay as they are" && exit 0; }

# tell WHAT COMMAND…: says what failed and why, in the program's own last line.
tell() {
  local what=$1 said
  shift
  said=$(timeout "${PLUGIN_TIMEOUT_SECONDS:-120}" "$@" 2>&1 </dev/null) && return
  warn "$what failed: $(tail -n 1 <<<"$said")"
  return 1
}

declare -A lost=()
while read -r name source; do
  [ -n "$name" ] || continue
  # Adding one that is known already fails in some versions, and the update tells whether it is there.
  timeout "${PLUGIN_TIMEOUT_SECONDS:-120}" claude plugin marketplace add "$source" >/dev/null 2>&1 </dev/null || true
  tell "marketplace $name ($source)" claude plugin marketplace update "$name" || lost[$name]=1
done < <(jq -r "$marketplaces" "$settings")

for plugin in $wanted; do
  if [ -n "${lost[${plugin#*@}]:-}" ]; then
    warn "$plugin stays as it is: its marketplace could not be reached"
    continue
  fi
  # An install alone keeps the version that is cached.
  claude plugin uninstall "$plugin" >/dev/null 2>&1 </dev/null || true
  tell "plugin $plugin" claude plugin install "$plugin" && log "plugin $plugin is installed"
done
exit 0
