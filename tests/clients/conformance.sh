#!/usr/bin/env bash
# The conformance suite's server scenarios, for both revisions of the protocol. Arguments: its folder, the server's URL (which needs no token).
set -euo pipefail
bin=$1 url=$2
here=$(cd "$(dirname "$0")" && pwd)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
failed=0
for revision in 2025-11-25 2026-07-28; do
  if "$bin/conformance" server --url "$url" --requirements "$revision" --expected-failures "$here/expected-failures-$revision.yaml" \
    -o "$results/$revision" >"$results/$revision.txt" 2>&1; then
    echo "conformance $revision: $(grep -c '✓' "$results/$revision.txt") scenarios pass, the others are expected to fail"
  else
    tail -n 120 "$results/$revision.txt"
    failed=1
  fi
done
exit "$failed"
