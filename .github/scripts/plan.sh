#!/usr/bin/env bash
# Writes into the folder OUT what the working tree does to every stack since BASE: comment.md, and the pull request's
# number beside it. The exit status is that of the worst stack: 0, 1 for errors in a plan, 2 for what cannot be read.
# Usage: plan.sh BASE NUMBER OUT
set -uo pipefail
base=$1 number=$2 out=$3
python=${PYTHON:-python}
most=60000

mkdir -p "$out" || exit 2
printf '%s\n' "$number" >"$out/number"
: >"$out/comment.md"

worst=0
# of both sides: a stack whose file goes is a change as well
while IFS= read -r file; do
  stack=${file#Pulumi.}
  stack=${stack%.yaml}
  status=0
  text=$("$python" -m infra diff --stack="$stack" --base "$base" --format markdown 2>"$out/errors") || status=$?
  if [ "$status" -ge 2 ] || [ -z "$text" ]; then
    # quoted, each line its own: a block of code would show the entities that comment.py makes
    text="### Stack $stack cannot be compared"$'\n\n'"$(sed 's/^ */> /; s/$/  /' "$out/errors")"
  fi
  printf '%s\n\n' "$text" >>"$out/comment.md"
  [ "$status" -gt "$worst" ] && worst=$status
done < <({
  git ls-tree --name-only "$base"
  ls
} | grep -E '^Pulumi\.[^/]+\.yaml$' | sort -u)

rm -f "$out/errors"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  head -c "$((most * 10))" "$out/comment.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$worst"
