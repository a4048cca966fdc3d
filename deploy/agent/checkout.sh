# shellcheck shell=bash
# git and gh, on stubs alone, and the repositories the agent works in. Sourced by setup.sh.

GITHUB_TOKEN=${GITHUB_TOKEN:-proxy-token-github}
GITHUB_URL=${GITHUB_URL:-https://github.com}

# Trust is in the environment (GIT_SSL_CAINFO): a tool that rewrites ~/.gitconfig cannot break it.
install_git() {
  git_setting user.name "${GIT_USER_NAME:-$AGENT_NAME}"
  git_setting user.email "${GIT_USER_EMAIL:-$AGENT_NAME@agents.invalid}"
  git_setting credential.helper store
  put_stubs "$AGENT_HOME/.git-credentials" printf '%s\n' "${GITHUB_URL/:\/\//://x-access-token:$GITHUB_TOKEN@}"
  # gh reads this before its own file, and GITHUB_TOKEN only after it.
  put "$AGENT_STATE/env.d/30-github.sh" 0600 export_line GH_TOKEN "$GITHUB_TOKEN"
}

git_setting() { [ "$(git config --global --get "$1")" = "$2" ] || git config --global "$1" "$2"; }

# AGENT_REPOS: owner/name or URLs. Nobody works in a repository that is not there, so a clone that fails is fatal; one that cannot be
# brought up to date may hold the agent's own work, so it stays as it is.
check_out() {
  local repository url folder
  local -A taken=()
  for repository in ${AGENT_REPOS:-}; do
    url=$repository
    if [[ $repository =~ ^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$ ]]; then url=$GITHUB_URL/$repository.git
    elif [[ $repository != *://* ]]; then fail "$EX_CONFIG" "AGENT_REPOS: \"$repository\" is neither owner/name nor a URL"; fi
    folder=$WORKSPACE/$(basename "$url" .git)
    [ -z "${taken[$folder]:-}" ] || fail "$EX_CONFIG" "AGENT_REPOS: $repository and ${taken[$folder]} would both be $folder"
    taken[$folder]=$repository
    if [ ! -d "$folder/.git" ]; then
      log "clones $repository"
      git clone --quiet -- "$url" "$folder" || fail "$EX_UNAVAILABLE" "could not clone $repository"
    elif ! git -C "$folder" pull --quiet --ff-only; then
      warn "$repository stays as it is: git pull --ff-only failed"
    fi
  done
}

# Repository folders and the workspace itself, which Claude Code is told to trust.
trusted_folders() {
  local repository
  printf '%s\n' "$WORKSPACE"
  for repository in ${AGENT_REPOS:-}; do printf '%s\n' "$WORKSPACE/$(basename "$repository" .git)"; done
}
