#!/usr/bin/env bash
# Stop hook: wakes the agent for what people wrote on its open pull requests, once for each comment. Exit 2 wakes it with the text on standard
# error; 0: nothing new; 1: GitHub could not be asked, which is said and never taken for nothing new.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=lib.sh
. "$here/lib.sh"
load_env
need AGENT_NAME

seen_file=$AGENT_STATE/pr-comments.json
# owner/name of each repository to look at; those that the agent works in, unless said otherwise.
repositories=${PR_REPOS:-$(tr ' ' '\n' <<<"${AGENT_REPOS:-}" | sed -n 's#^\([^/:]*/[^/:]*\)$#\1#p')}
# Agents that share one login tell their pull requests apart by branch, and their own words by how they sign.
prefix=${PR_BRANCH_PREFIX:-}
signature=${PR_SIGNATURE:-}
# Whose words may wake an agent, by GitHub's author association; `any` lets strangers on a public repository do so.
voices=${PR_VOICES:-OWNER MEMBER COLLABORATOR}

[ -n "$repositories" ] || exit 0
search="is:pr is:open archived:false author:${PR_AUTHOR:-@me}"
for repository in $repositories; do search+=" repo:$repository"; done

failed() { fail 1 "could not look for new comments: $1"; }

answer=$(timeout "${PR_SECONDS:-45}" gh api graphql -F query=@"$here/review-threads.graphql" -f q="$search" 2>&1) ||
  failed "$(tail -n 3 <<<"$answer")"
jq -e '.data.search.nodes and .data.viewer.login' >/dev/null 2>&1 <<<"$answer" || failed "GitHub's answer is not what was asked for"
! jq -e '.data.search.pageInfo.hasNextPage' >/dev/null <<<"$answer" || warn "more than 50 open pull requests: the rest is not looked at"

found=$(jq -c --arg prefix "$prefix" --arg signature "$signature" --arg voices "$voices" '
  .data.viewer.login as $me
  | ($voices | split(" ")) as $voices
  | [.data.search.nodes[]
    | select((.headRefName // "") | startswith($prefix))
    | "\(.repository.nameWithOwner)#\(.number)" as $pr
    | (.comments.nodes[], .reviews.nodes[], (.reviewThreads.nodes[] | select(.isResolved | not) | .comments.nodes[]))
    | select(.body != "")
    | select(.author.login != $me or ($signature != "" and (.body | contains($signature) | not)))
    | select(($voices | index("any")) or (.authorAssociation as $who | $voices | index($who)))
    | {id, $pr, who: .author.login, path, url, body}]' <<<"$answer") || failed "GitHub's answer could not be read"

seen='[]'
if [ -s "$seen_file" ]; then seen=$(jq -c . "$seen_file" 2>/dev/null) || failed "$seen_file is not JSON; remove it to begin anew"; fi
new=$(jq -c --argjson seen "$seen" 'map(select(.id as $id | $seen | index($id) | not))' <<<"$found")
[ "$new" != '[]' ] || exit 0

# Newest first, and bounded: an answer that leaves something out for once must not bring it back as new.
put "$seen_file" 0644 jq -c --argjson seen "$seen" 'map(.id) + $seen | .[:5000]' <<<"$new" || failed "$seen_file cannot be written"
text=$(jq -r '"New comments on your pull requests:", (.[]
  | "- \(.pr) by \(.who // "somebody who has left")\(if .path then ", \(.path)" else "" end): \(.body | .[:400] | gsub("\\s+"; " "))\n  \(.url)")' <<<"$new")
jq -cn --arg reason "$text" '{decision: "block", $reason}'
printf '%s\n' "$text" >&2
exit 2
